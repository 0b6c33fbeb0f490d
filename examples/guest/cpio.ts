/**
 * Archives in the format that Linux unpacks as its first file system: cpio, "newc" (kernel:
 * Documentation/driver-api/early-userspace/buffer-format.rst).
 *
 * @module
 */

/** What there is in an archive. Folders come before what is in them. */
export type CpioEntry =
  | { readonly path: string; readonly kind: "folder" }
  | {
    readonly path: string;
    readonly kind: "file";
    readonly data: Uint8Array;
    readonly executable?: boolean;
  }
  | { readonly path: string; readonly kind: "link"; readonly target: string }
  | {
    readonly path: string;
    readonly kind: "character device";
    readonly major: number;
    readonly minor: number;
  };

/** The types of files, as in `st_mode`. */
const MODES = {
  "folder": 0o040755,
  "file": 0o100644,
  "link": 0o120777,
  "character device": 0o020600,
};
const EXECUTABLE = 0o111;
const TRAILER = "TRAILER!!!";
/** Headers and data are aligned to so many bytes. */
const ALIGNMENT = 4;

/**
 * Writes an archive.
 *
 * @param entries What is in it.
 * @returns Its bytes.
 */
export function cpio(entries: Iterable<CpioEntry>): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = [];
  let inode = 1;
  for (const entry of entries) {
    const executable = entry.kind === "file" && entry.executable === true ? EXECUTABLE : 0;
    const device = entry.kind === "character device" ? [entry.major, entry.minor] : [0, 0];
    const mode = MODES[entry.kind] | executable;
    pieces.push(...record(entry.path, inode++, mode, dataOf(entry), device));
  }
  pieces.push(...record(TRAILER, 0, 0, new Uint8Array(), [0, 0]));
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let position = 0;
  for (const piece of pieces) {
    bytes.set(piece, position);
    position += piece.length;
  }
  return bytes;
}

/**
 * The folders that some paths are in.
 *
 * @param paths Paths without a first slash.
 * @returns An entry for each, outer ones first.
 */
export function foldersOf(paths: Iterable<string>): CpioEntry[] {
  const folders = new Set<string>();
  for (const path of paths) {
    for (let end = path.indexOf("/"); end !== -1; end = path.indexOf("/", end + 1)) {
      folders.add(path.slice(0, end));
    }
  }
  return Array.from(folders, (path) => ({ path, kind: "folder" }));
}

function dataOf(entry: CpioEntry): Uint8Array {
  if (entry.kind === "file") return entry.data;
  return new TextEncoder().encode(entry.kind === "link" ? entry.target : "");
}

function record(
  path: string,
  inode: number,
  mode: number,
  data: Uint8Array,
  device: readonly number[],
): Uint8Array[] {
  const name = new TextEncoder().encode(`${path}\0`);
  // inode, mode, user, group, links, time, size, device of the file, its number if it is a device,
  // length of the name, checksum.
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, ...device, name.length, 0];
  const header = new TextEncoder().encode(
    `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`,
  );
  return [header, name, padding(header.length + name.length), data, padding(data.length)];
}

function padding(length: number): Uint8Array {
  return new Uint8Array((ALIGNMENT - length % ALIGNMENT) % ALIGNMENT);
}
