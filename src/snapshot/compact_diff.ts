/**
 * The compact form of a diff: the bytes that changed, one run after the other, behind a table that says
 * where they belong.
 *
 * All numbers are little-endian and without sign.
 *
 * | At | Bytes | What |
 * | --- | --- | --- |
 * | 0 | 8 | `VMMDIFF` and a zero byte |
 * | 8 | 4 | the version: 1 |
 * | 12 | 4 | bytes of a page of the host that wrote it: a power of two |
 * | 16 | 8 | bytes of the snapshot that it is a diff of |
 * | 24 | 8 | runs |
 * | 32 | 8 | where the data begins: a multiple of the page size, behind the table |
 * | 40 | 16 × runs | the table: for each run where it begins in the snapshot, and its bytes |
 *
 * Runs begin at multiples of the page size, by rising position, do not overlap, and end within the
 * snapshot. None is empty. They consist of whole pages, but for one that ends where a region ends. The
 * data has the bytes of all runs, without gaps, and ends the file. What is between the table and the
 * data is not read.
 *
 * `docs/snapshot_files.md` has the same, with a reader in C.
 *
 * @module
 */
import { readAt } from "../../ffi/io.ts";
import { pageSize } from "../../ffi/memory.ts";
import { InvalidDiff, SnapshotMismatch } from "../error/snapshot_error.ts";
import { HeldBuffer } from "./held_buffer.ts";
import type { PackedOutput } from "./packed_output.ts";

/** Where the parts of a compact diff are. */
export interface CompactDiff {
  /** Bytes of the snapshot. */
  readonly length: number;
  /** The start and the end of each run in the snapshot, one after the other, by rising position. */
  readonly runs: readonly number[];
  /** Where the data begins in the file. */
  readonly dataStart: number;
  /** Bytes of the file. */
  readonly fileLength: number;
}

/**
 * Finds the places of a diff.
 *
 * @param length Bytes of the snapshot.
 * @param runs The start and the end of each run.
 */
export function compactDiffOf(length: number, runs: readonly number[]): CompactDiff {
  const page = pageSize();
  const dataStart = Math.ceil((HEADER + runs.length / 2 * ENTRY) / page) * page;
  let fileLength = dataStart;
  for (let run = 0; run < runs.length; run += 2) fileLength += runs[run + 1]! - runs[run]!;
  return { length, runs, dataStart, fileLength };
}

/**
 * Writes the table and the header to a file of which nothing is written. The data follows.
 *
 * @throws {SystemError} A call failed.
 */
export function writeHead(output: PackedOutput, { length, runs, dataStart }: CompactDiff): void {
  const count = runs.length / 2;
  output.position = HEADER;
  for (let first = 0; first < count; first += BLOCK) {
    const entries = Math.min(count - first, BLOCK);
    write(entries * ENTRY, (view) => {
      for (let i = 0; i < entries; i++) {
        const [start, end] = [runs[2 * (first + i)]!, runs[2 * (first + i) + 1]!];
        setWide(view, i * ENTRY, start);
        setWide(view, i * ENTRY + 8, end - start);
      }
    });
  }
  // After the table: a file without it does not begin as a diff.
  output.position = 0;
  write(HEADER, (view) => {
    MAGIC.forEach((byte, i) => view.setUint8(i, byte));
    view.setUint32(8, VERSION, true);
    view.setUint32(12, pageSize(), true);
    setWide(view, 16, length);
    setWide(view, 24, count);
    setWide(view, 32, dataStart);
  });
  output.position = dataStart;

  function write(length: number, fill: (view: DataView) => void): void {
    using buffer = new HeldBuffer(length);
    fill(new DataView(buffer.bytes.buffer));
    output.write(buffer.address, length);
    output.flush();
  }
}

/**
 * Reads the header and the table of a file that comes from elsewhere, and checks both.
 *
 * @param fd The descriptor.
 * @param size Bytes of the file.
 * @returns What they say. All runs are as the format demands.
 * @throws {InvalidDiff} It is no compact diff, or its table is none.
 * @throws {SnapshotMismatch} The file has not the bytes that they say: it was never finished, perhaps.
 * @throws {SystemError} A call failed.
 */
export function readHead(fd: number, size: number): CompactDiff {
  const head = read(fd, 0, HEADER);
  if (MAGIC.some((byte, i) => head.getUint8(i) !== byte)) {
    throw new InvalidDiff("it does not begin as one: it is flat, unfinished, or something else");
  }
  const version = head.getUint32(8, true);
  if (version !== VERSION) {
    throw new InvalidDiff(`its version is ${version}, and ${VERSION} is known`);
  }
  const page = head.getUint32(12, true);
  if (page < 512 || (page & page - 1) !== 0) {
    throw new InvalidDiff(`${page} bytes of a page are no power of two`);
  }
  const length = wide(head, 16);
  const count = wide(head, 24);
  const dataStart = wide(head, 32);
  // NaN, for numbers from 2^53 on, is neither.
  if (!(length >= 0 && count >= 0 && dataStart % page === 0)) {
    throw new InvalidDiff("its header has numbers that cannot be");
  }
  // No product here exceeds 2^53: there is no more than one run a page.
  if (!(count <= Math.ceil(length / page) && HEADER + count * ENTRY <= dataStart)) {
    throw new InvalidDiff(`${count} runs are more than it has room for`);
  }
  if (dataStart > size) throw new SnapshotMismatch("the diff", dataStart, size);
  const runs: number[] = [];
  let last = 0;
  let bytes = 0;
  for (let first = 0; first < count; first += BLOCK) {
    const entries = Math.min(count - first, BLOCK);
    const table = read(fd, HEADER + first * ENTRY, entries * ENTRY);
    for (let i = 0; i < entries; i++) {
      const start = wide(table, i * ENTRY);
      const end = start + wide(table, i * ENTRY + 8);
      if (!(start >= last && end > start && end <= length && start % page === 0)) {
        throw new InvalidDiff(
          `run ${first + i} is empty, overlaps, or is not within the snapshot`,
        );
      }
      runs.push(start, end);
      bytes += end - start;
      last = end;
    }
  }
  const fileLength = dataStart + bytes;
  if (fileLength !== size) throw new SnapshotMismatch("the diff", fileLength, size);
  return { length, runs, dataStart, fileLength };
}

const MAGIC = new TextEncoder().encode("VMMDIFF\0");
const VERSION = 1;
const HEADER = 40;
const ENTRY = 16;
// Entries that are read and written in one call.
const BLOCK = 2 ** 16;

function read(fd: number, position: number, length: number): DataView<ArrayBuffer> {
  using buffer = new HeldBuffer(length);
  for (let done = 0; done < length;) {
    const count = readAt(fd, buffer.address + done, length - done, position + done);
    if (count === 0) throw new InvalidDiff(`it ends at byte ${position + done}`);
    done += count;
  }
  return new DataView(buffer.bytes.buffer);
}

function setWide(view: DataView, at: number, value: number): void {
  view.setUint32(at, value, true);
  view.setUint32(at + 4, value / 2 ** 32, true);
}

// A number of 64 bits; NaN from 2^53 on.
function wide(view: DataView, at: number): number {
  const value = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  return Number.isSafeInteger(value) ? value : NaN;
}
