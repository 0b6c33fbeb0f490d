/**
 * The ways to copy bytes from one buffer to another, by size: the reason for the limits in
 * `src/copy.ts`. `set` costs the same whatever the size, most of it for making the subarray that names
 * the source; loops cost by the element.
 *
 * Nothing is hoisted or folded away: copies have an effect on memory, and their offsets come out of a
 * table.
 */
import { addressTable, alignedBytes, EACH, KIB, MASK, OPERATIONS, sizeName } from "./workload.ts";

const from = alignedBytes(16 * KIB).fill(1);
const to = alignedBytes(16 * KIB);
const fromWords = new BigUint64Array(from.buffer, from.byteOffset, from.length / 8);
const toWords = new BigUint64Array(to.buffer, to.byteOffset, to.length / 8);

for (const size of [8, 16, 32, 64, 128, 256, 512, 1 * KIB, 4 * KIB]) {
  const offsets = addressTable((i) => (i & 3) * size);
  const whole = from.subarray(0, size);
  const group = `${sizeName(size)} copied (${EACH})`;

  Deno.bench(`set of a new subarray, ${sizeName(size)}`, { group, baseline: true }, () => {
    for (let i = 0; i < OPERATIONS; i++) {
      const offset = offsets[i & MASK]!;
      to.set(from.subarray(offset, offset + size), offset);
    }
  });
  Deno.bench(`set of a whole array, ${sizeName(size)}`, { group }, () => {
    for (let i = 0; i < OPERATIONS; i++) to.set(whole, offsets[i & MASK]!);
  });
  // Assigned from one to the other, an element never becomes a bigint in optimised code.
  Deno.bench(`loop over 64-bit words, ${sizeName(size)}`, { group }, () => {
    const count = size / 8;
    for (let i = 0; i < OPERATIONS; i++) {
      const first = offsets[i & MASK]! / 8 | 0;
      for (let word = first; word < first + count; word++) toWords[word] = fromWords[word]!;
    }
  });
  Deno.bench(`loop over bytes, ${sizeName(size)}`, { group, ignore: size > 512 }, () => {
    for (let i = 0; i < OPERATIONS; i++) {
      const first = offsets[i & MASK]! | 0;
      for (let byte = first; byte < first + size; byte++) to[byte] = from[byte]!;
    }
  });
}
