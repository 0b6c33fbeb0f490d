/**
 * Files to map that leave nothing behind: each has no name any more once it is open.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { statfsSync } from "node:fs";
import { quoted } from "../lib/quoted.ts";
import { size as sizeText } from "../lib/units.ts";
import { BackingsError } from "./backings_error.ts";

/** What kind of file is wanted. */
export interface FileWish {
  /** What it is stored in. */
  readonly where: "disk" | "tmpfs";
  /** Whether it has content; otherwise it is one hole. */
  readonly filled: boolean;
  /** Whether it is open to read only. */
  readonly readOnly?: boolean;
}

const PREFIX = "guest-memory-backings-";
const TMPFS_MAGIC = 0x0102_1994;
// A full file system ends the process (SIGBUS) when a page of a hole is touched.
const SPARE = 2 ** 24;
const MIB = 2 ** 20;

/** A file to map. */
export interface ScratchFile extends Disposable {
  /** The open file. Its name is removed already. */
  readonly file: Deno.FsFile;
  /** Its `st_blocks` when it was one hole. */
  readonly blocksEmpty: number;
}

/**
 * Makes a file.
 *
 * @param wish Which kind.
 * @param size Its bytes.
 * @throws {BackingsError} There is no such file system, or too little room.
 */
export function openScratchFile({ where, filled, readOnly }: FileWish, size: number): ScratchFile {
  const folder = where === "tmpfs" ? tmpfsFolder() : diskFolder();
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free < size + SPARE) {
    throw new BackingsError(
      `${folder} has ${sizeText(free)} free, ${sizeText(size + SPARE)} are needed`,
    );
  }
  // From here to the removal nothing waits, so that no signal comes between.
  const path = Deno.makeTempFileSync({ dir: folder, prefix: PREFIX });
  let writable, file;
  try {
    writable = Deno.openSync(path, { read: true, write: true });
    file = readOnly ? Deno.openSync(path) : writable;
  } finally {
    Deno.removeSync(path);
  }
  try {
    writable.truncateSync(size);
    const { blocks } = writable.statSync();
    if (filled) fill(writable, size);
    return { file, blocksEmpty: blocks ?? 0, [Symbol.dispose]: () => file.close() };
  } catch (error) {
    if (file !== writable) file.close();
    writable.close();
    throw error;
  } finally {
    if (file !== writable) writable.close();
  }
}

/**
 * Whether a filled file has the content that it was made with.
 *
 * @param file The file.
 * @param size Its bytes.
 */
export function isUnchanged(file: Deno.FsFile, size: number): boolean {
  const found = new Uint8Array(MIB);
  file.seekSync(0, Deno.SeekMode.Start);
  for (let at = 0; at < size; at += MIB) {
    for (let done = 0; done < MIB;) {
      const count = file.readSync(found.subarray(done));
      if (count === null) return false;
      done += count;
    }
    if (!contentAt(at).equals(found)) return false;
  }
  return file.statSync().size === size;
}

function fill(file: Deno.FsFile, size: number): void {
  for (let at = 0; at < size; at += MIB) {
    const content = contentAt(at);
    for (let done = 0; done < MIB;) done += file.writeSync(content.subarray(done));
  }
  // Room on a disk is allocated when data is written back, and `st_blocks` changes then.
  file.syncDataSync();
}

// No byte is 0, so that zeros in a mapping are those of the discard.
function contentAt(offset: number): Buffer {
  return Buffer.alloc(MIB, 1 + offset / MIB % 255);
}

function tmpfsFolder(): string {
  const folder = "/dev/shm";
  if (isTmpfs(folder)) return folder;
  throw new BackingsError(`${folder} is no tmpfs`);
}

// The folder of temporary files is a tmpfs itself on some systems.
function diskFolder(): string {
  const folders = [folderOfTemporaryFiles(), "/var/tmp"];
  const folder = folders.find((folder) => !isTmpfs(folder));
  if (folder !== undefined) return folder;
  throw new BackingsError(`no folder on a disk: ${folders.map(quoted).join(" and ")} are tmpfs`);
}

function folderOfTemporaryFiles(): string {
  return Deno.env.get("TMPDIR") || "/tmp";
}

function isTmpfs(folder: string): boolean {
  return statfsSync(folder).type === TMPFS_MAGIC;
}
