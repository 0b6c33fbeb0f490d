/**
 * The ways to copy a part of mapped memory into a buffer, by size: the reason for `copyFromMapping` in
 * `ffi/memory.ts`. `set` takes a source that is just as long as the copy, so it takes a view for each;
 * a loop costs by the element.
 *
 * Nothing is hoisted or folded away: copies have an effect on memory, and their offsets come out of a
 * table.
 */
import { MmapRegion } from "@vmm/guest-memory";
import { copyFromMapping } from "../ffi/memory.ts";
import { addressTable, alignedBytes, EACH, KIB, MASK, OPERATIONS, sizeName } from "./workload.ts";

const mapping = new MmapRegion(16 * KIB);
const from = mapping.asVolatileSlice().rawView().fill(1);
const address = Number(mapping.hostAddress());
const { buffer } = from;

for (const size of [8, 16, 32, 64, 128, 256, 512, 1 * KIB, 4 * KIB]) {
  const offsets = addressTable((i) => (i & 3) * size);
  const whole = from.subarray(0, size);
  const to = alignedBytes(size);
  const group = `${sizeName(size)} copied (${EACH})`;

  Deno.bench(`set of a new subarray, ${sizeName(size)}`, { group, baseline: true }, () => {
    for (let i = 0; i < OPERATIONS; i++) {
      const offset = offsets[i & MASK]!;
      to.set(from.subarray(offset, offset + size));
    }
  });
  Deno.bench(`set of a new view, ${sizeName(size)}`, { group }, () => {
    for (let i = 0; i < OPERATIONS; i++) to.set(new Uint8Array(buffer, offsets[i & MASK]!, size));
  });
  Deno.bench(`set of a view that is there, ${sizeName(size)}`, { group }, () => {
    for (let i = 0; i < OPERATIONS; i++) to.set(whole);
  });
  Deno.bench(`memmove of the C library, ${sizeName(size)}`, { group }, () => {
    for (let i = 0; i < OPERATIONS; i++) copyFromMapping(to, address + offsets[i & MASK]!, size);
  });
  Deno.bench(`loop over bytes, ${sizeName(size)}`, { group, ignore: size > 512 }, () => {
    for (let i = 0; i < OPERATIONS; i++) {
      const first = offsets[i & MASK]! | 0;
      for (let byte = 0; byte < size; byte++) to[byte] = from[first + byte]!;
    }
  });
}
