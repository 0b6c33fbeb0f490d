/**
 * Moves segments from a file into guest memory, and proves that they arrived.
 *
 * @module
 */
import { GuestAddress, type GuestMemory } from "@vmm/guest-memory";
import { createHash } from "node:crypto";
import { DemoError } from "./demo_error.ts";
import type { RegularFile } from "../lib/regular_file.ts";
import type { PlacedSegment } from "./placement.ts";
import { hex } from "../lib/units.ts";

/** Bytes of one step: few enough system calls to cost nothing, and progress that moves. */
export const STEP: number = 4 * 2 ** 20;

/** Gets, after each step, how many bytes of all are done. */
export type OnProgress = (done: number) => void;

/** Bytes that segments have in their file. */
export function bytesInFile(segments: readonly PlacedSegment[]): number {
  return segments.reduce((sum, { fileSize }) => sum + fileSize, 0);
}

/**
 * Reads each segment from the file to its place. The kernel copies from its cache into the mapping;
 * the bytes never pass through JavaScript's heap. What a segment has beyond its bytes in the file is
 * zero already, as fresh memory is.
 *
 * @param memory Where to.
 * @param file Where from.
 * @param segments What.
 * @param onProgress Gets the progress.
 */
export function load(
  memory: GuestMemory,
  file: RegularFile,
  segments: readonly PlacedSegment[],
  onProgress?: OnProgress,
): void {
  for (const { address, offset, length } of steps(segments, onProgress)) {
    memory.readExactVolatileFrom(address, file.from(offset), length);
  }
}

/**
 * Reads the same bytes of the file into a buffer: what a load is compared with.
 *
 * @param file The file.
 * @param segments What.
 * @param buffer Where to, over and over: {@linkcode STEP} bytes.
 */
export function readPlainly(
  file: RegularFile,
  segments: readonly PlacedSegment[],
  buffer: Uint8Array,
): void {
  for (const { offset, length } of steps(segments)) {
    readFully(file.from(offset), buffer.subarray(0, length));
  }
}

/**
 * Reads each segment back from guest memory and compares it with the file.
 *
 * @param memory Where the segments are.
 * @param file Where they came from.
 * @param segments Which.
 * @param onProgress Gets the progress.
 * @returns Each segment's SHA-256 in hexadecimal, the same in memory and in the file.
 * @throws {DemoError} They are not the same.
 */
export function verify(
  memory: GuestMemory,
  file: RegularFile,
  segments: readonly PlacedSegment[],
  onProgress?: OnProgress,
): string[] {
  const fromFile = new Uint8Array(STEP);
  const fromMemory = new Uint8Array(STEP);
  let before = 0;
  return segments.map((segment) => {
    const expected = createHash("sha256");
    const found = createHash("sha256");
    const progress = (done: number) => onProgress?.(before + done);
    for (const { address, offset, length } of steps([segment], progress)) {
      readFully(file.from(offset), fromFile.subarray(0, length));
      expected.update(fromFile.subarray(0, length));
      memory.readSlice(fromMemory.subarray(0, length), address);
      found.update(fromMemory.subarray(0, length));
    }
    before += segment.fileSize;
    return sameHash(segment, expected.digest("hex"), found.digest("hex"));
  });
}

function sameHash({ index, start }: PlacedSegment, expected: string, found: string): string {
  if (expected === found) return found;
  throw new DemoError(
    `segment ${index} at ${hex(start)} differs from the file: ` +
      `SHA-256 ${found} in memory, ${expected} in the file`,
  );
}

interface Step {
  /** Where in guest memory. */
  readonly address: GuestAddress;
  /** Where in the file. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

function* steps(segments: readonly PlacedSegment[], onProgress?: OnProgress): Generator<Step> {
  let total = 0;
  for (const { start, offset, fileSize } of segments) {
    for (let done = 0; done < fileSize; done += STEP) {
      const length = Math.min(STEP, fileSize - done);
      yield { address: GuestAddress(start + done), offset: offset + done, length };
      onProgress?.(total += length);
    }
  }
}

function readFully(source: Deno.FsFile, buffer: Uint8Array): void {
  while (buffer.length > 0) {
    const count = source.readSync(buffer) ?? 0;
    if (count === 0) throw new DemoError("the file became shorter while it was read");
    buffer = buffer.subarray(count);
  }
}
