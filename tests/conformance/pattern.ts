/**
 * Bytes that a trace names instead of spelling out: generated going in, digested coming out.
 *
 * @module
 */
import { createHash, type Hash } from "node:crypto";

/** The content of every buffer before it is read into, so that untouched bytes show. */
const UNTOUCHED = 0xa5;

/** The longest run of bytes that a trace spells out. */
const SPELLED_OUT = 16;

/**
 * A part of a pattern.
 *
 * @param seed The pattern's name.
 * @param length Bytes.
 * @param start The index of the first.
 */
export function pattern(seed: number, length: number, start: number = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let origin = seed + Math.imul(start, 2_654_435_761) | 0;
  for (let i = 0; i < length; i++) {
    let x = origin;
    x = Math.imul(x ^ x >>> 15, 0x2c1b3c6d);
    x = Math.imul(x ^ x >>> 12, 0x297a2d39);
    bytes[i] = x ^ x >>> 15;
    origin = origin + 2_654_435_761 | 0;
  }
  return bytes;
}

/** A buffer to read into. */
export function untouched(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).fill(UNTOUCHED);
}

/** How a trace shows bytes: hexadecimal if they are few, else by their hash. */
export function digest(bytes: Uint8Array): string {
  return bytes.length <= SPELLED_OUT ? bytes.toHex() : `sha:${sha256([bytes]).slice(0, 16)}`;
}

/** The SHA-256 of parts, one after the other. */
export function sha256(parts: Iterable<Uint8Array>): string {
  const hash: Hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}
