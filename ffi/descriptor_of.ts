/**
 * The descriptor of an open file: of a `Deno.FsFile` too, which does not expose it.
 *
 * @module
 */
import { accessMode, fileStatus } from "./file.ts";
import { fileCalls, libc } from "./libc.ts";
import type { MemoryReader } from "./runtime/foreign_runtime.ts";
import { SystemError } from "./system_error.ts";

/** The part of `Deno.FsFile` that is needed to find its descriptor. */
export interface FileWithPosition {
  /** The file's position, with offset 0 from `Deno.SeekMode.Current`: nothing moves it. */
  seekSync(offset: number, whence: number): number;
  /** The file's status. */
  statSync(): { readonly dev: number; readonly ino: number | null };
}

/** A file that knows its descriptor: a `FileHandle` of `node:fs/promises`. */
export interface FileWithDescriptor {
  /** The descriptor. */
  readonly fd: number;
}

/** An open file: its descriptor, a `Deno.FsFile`, or a `FileHandle` of `node:fs/promises`. */
export type OpenFile = number | FileWithDescriptor | FileWithPosition;

/**
 * The descriptor of an open file, as it is given or as the file says. That of a `Deno.FsFile` is one
 * of the same device and inode, at the same position. Nothing is moved, so a transfer that is under
 * way is not disturbed.
 *
 * Of several descriptors of one regular file that were opened for the same, the lowest is returned,
 * whoever opened it: mapped, they are the same memory.
 *
 * @throws {TypeError} There is none, the file cannot seek, or several differ. The message names
 * them. Pass a raw descriptor then.
 */
export function descriptorOf(file: OpenFile): number {
  if (typeof file === "number") return file;
  if (typeof file !== "object" || file === null) {
    throw new TypeError(
      "Cannot find a descriptor: the file must be a number, a Deno.FsFile or a FileHandle",
    );
  }
  return "seekSync" in file ? search(file) : file.fd;
}

function search(file: FileWithPosition): number {
  const { dev, ino } = file.statSync();
  const last = found.get(file);
  if (last !== undefined && isStill(last, dev, ino) && standsAt(last.fd, positionOf(file))) {
    return last.fd;
  }
  const candidate = findCandidate(file, dev, ino);
  // Of a device, each opening is another thing.
  if (candidate.isRegular) found.set(file, candidate);
  return candidate.fd;
}

// Searching takes a call for each descriptor that is open.
const found = new WeakMap<FileWithPosition, Candidate>();

// Whoever opened that one may have closed it since, and the number be another file's.
function isStill({ fd, kind }: Candidate, device: number, inode: number | null): boolean {
  try {
    return candidateOf(fd, device, inode)?.kind === kind;
  } catch (error) {
    if (error instanceof SystemError) return false;
    throw error;
  }
}

function findCandidate(file: FileWithPosition, dev: number, ino: number | null): Candidate {
  let candidates: Candidate[] = [];
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const position = positionOf(file);
    candidates = candidatesFor(dev, ino);
    const there = candidates.filter(({ fd }) => standsAt(fd, position));
    if (positionOf(file) === position) return choose(there);
  }
  // A transfer moves the file all the time, so only its identity counts.
  return choose(candidates);
}

const ATTEMPTS = 3;

function positionOf(file: FileWithPosition): number {
  try {
    return file.seekSync(0, SEEK_CUR);
  } catch (cause) {
    throw new TypeError("Cannot find the descriptor of the file: it cannot seek, pass a raw fd", {
      cause,
    });
  }
}

function standsAt(fd: number, position: number): boolean {
  // SAFETY: touches no memory, and moves nothing.
  return fileCalls().lseek(fd, 0n, SEEK_CUR) === BigInt(position);
}

interface Candidate {
  readonly fd: number;
  // What has to be the same where one stands for another.
  readonly kind: string;
  readonly access: string;
  readonly isRegular: boolean;
}

function choose(candidates: readonly Candidate[]): Candidate {
  const [first, ...others] = candidates.toSorted((a, b) => a.fd - b.fd);
  if (first === undefined) {
    throw new TypeError("Cannot find the descriptor of the file: pass a raw fd");
  }
  // Two openings of a device are two things, such as two virtual machines of /dev/kvm.
  if (others.every(({ kind }) => first.isRegular && kind === first.kind)) return first;
  const all = [first, ...others].map(({ fd, access }) => `${fd} (${access})`).join(", ");
  throw new TypeError(
    `Cannot find the descriptor of the file: it may be any of ${all}. Open the file once, or pass ` +
      "a raw fd, as openSync of node:fs returns it",
  );
}

function candidatesFor(device: number, inode: number | null): Candidate[] {
  const candidates: Candidate[] = [];
  for (const fd of openDescriptors()) {
    try {
      const candidate = candidateOf(fd, device, inode);
      if (candidate !== undefined) candidates.push(candidate);
    } catch (error) {
      // Another thread has closed it since, or it is another file: this one could be asked above.
      if (!(error instanceof SystemError)) throw error;
    }
  }
  return candidates;
}

// `Deno.FileInfo` has both numbers rounded to doubles.
function candidateOf(fd: number, device: number, inode: number | null): Candidate | undefined {
  const status = fileStatus(fd);
  if (Number(status.device) !== device || Number(status.inode) !== inode) return undefined;
  const access = accessMode(fd);
  const kind = `${status.device} ${status.inode} ${access}`;
  return { fd, kind, access, isRegular: status.isRegular };
}

// All that were open the whole time, and the one of the listing itself.
function openDescriptors(): number[] {
  const { descriptorFolder } = libc().platform;
  return descriptorFolder !== undefined && listDescriptors(descriptorFolder) || tryDescriptors();
}

function listDescriptors(folder: string): number[] | undefined {
  const { opendir, readdir, closedir } = fileCalls();
  // SAFETY: the name ends with a zero byte.
  const directory = opendir(new TextEncoder().encode(`${folder}\0`));
  if (directory === 0n) return undefined;
  const found: number[] = [];
  for (;;) {
    // SAFETY: the directory is open, and no other thread has it.
    const entry = readdir(directory);
    if (entry === 0n) break;
    // SAFETY: the entry stays valid until the next call; its name ends with a zero byte.
    const name = textAt(libc().runtime.readerAt(entry), NAME);
    if (/^\d+$/.test(name)) found.push(Number(name));
  }
  // SAFETY: nothing uses the directory any more.
  closedir(directory);
  return found;
}

function textAt(memory: MemoryReader, offset: number): string {
  let text = "";
  for (let at = offset, byte; (byte = memory.getUint8(at)) !== 0; at++) {
    text += String.fromCharCode(byte);
  }
  return text;
}

// Where there is no such folder: this takes 18 ms.
function tryDescriptors(): number[] {
  const { fcntl } = fileCalls();
  const numbers = Array.from({ length: MAX_DESCRIPTORS }, (_, fd) => fd);
  // SAFETY: F_GETFD takes no argument and touches no memory.
  return numbers.filter((fd) => fcntl(fd, F_GETFD) >= 0);
}

const SEEK_CUR = 1;
const F_GETFD = 1;
const MAX_DESCRIPTORS = 65_536;
// Where struct dirent of bits/dirent.h has its name, in glibc and musl.
const NAME = 19;
