/**
 * What is on the disks of the checks.
 *
 * @module
 */
import { createHash } from "node:crypto";

/** Bytes of a block of {@linkcode patternBlock}. */
export const BLOCK = 4096;
/** What `crypto.getRandomValues` gives in one call. */
const RANDOM_PIECE = 65_536;
const PIECE = 2 ** 20;
/** Golden ratio in 32 bits: neighbours differ in all their bytes. */
const STEP = 0x9e3779b1;

/**
 * What is in a block, by its number; `dma.c` knows it too.
 *
 * @param block The number.
 * @returns Its words, which count from a start that is particular to it.
 */
export function patternBlock(block: number): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(BLOCK / 4);
  const first = Math.imul(block, STEP);
  for (let index = 0; index < words.length; index++) words[index] = first + index;
  return words;
}

/**
 * Writes {@linkcode patternBlock}s.
 *
 * @param path The file.
 * @param blocks How many, from its start.
 */
export function writePattern(path: string, blocks: number): void {
  using file = Deno.openSync(path, { write: true });
  for (let block = 0; block < blocks; block++) {
    writeAll(file, new Uint8Array(patternBlock(block).buffer));
  }
}

/**
 * Writes random bytes.
 *
 * @param path The file.
 * @param bytes How many, from its start: a multiple of 64 KiB.
 */
export function writeRandom(path: string, bytes: number): void {
  using file = Deno.openSync(path, { write: true });
  const piece = new Uint8Array(RANDOM_PIECE);
  for (let done = 0; done < bytes; done += piece.length) {
    writeAll(file, crypto.getRandomValues(piece));
  }
  // Else it would be written while something is measured.
  file.syncDataSync();
}

/**
 * The MD5 of a file, as `md5sum` prints it.
 *
 * @param path The file.
 */
export function md5(path: string): string {
  using file = Deno.openSync(path);
  const hash = createHash("md5");
  const piece = new Uint8Array(PIECE);
  for (;;) {
    const length = file.readSync(piece);
    if (length === null) return hash.digest("hex");
    hash.update(piece.subarray(0, length));
  }
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
}
