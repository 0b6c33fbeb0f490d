/**
 * Copies through a slice, beside a bare `TypedArray.prototype.set` of the same bytes, and values beside
 * a bare typed-array element: the floor that V8 gives.
 *
 * Nothing is hoisted or folded away: copies are calls with an effect on memory, and their results go
 * into the sink; offsets come out of a table.
 */
import { u32, VolatileSlice } from "@vmm/guest-memory";
import { consume } from "./sink.ts";
import { addressTable, alignedBytes, EACH, KIB, MASK, OPERATIONS, sizeName } from "./workload.ts";

const LENGTH = 64 * KIB;
const memory = alignedBytes(LENGTH);
const slice = VolatileSlice.from(memory);

for (const size of [64, 512, 1 * KIB, 10 * KIB]) {
  const from = alignedBytes(size).fill(1);
  const to = alignedBytes(size);
  const part = slice.subslice(0, size);
  const partBytes = memory.subarray(0, size);
  const target = VolatileSlice.from(alignedBytes(size));
  const name = sizeName(size);

  const reading = { group: `${name} out of a slice (${EACH})` };
  Deno.bench(`bare set, ${name}`, { ...reading, baseline: true }, () => {
    for (let i = 0; i < OPERATIONS; i++) to.set(partBytes);
  });
  Deno.bench(`VolatileSlice.copyTo, ${name}`, reading, () => {
    for (let i = 0; i < OPERATIONS; i++) consume(part.copyTo(to));
  });
  Deno.bench(`VolatileSlice.read, ${name}`, reading, () => {
    for (let i = 0; i < OPERATIONS; i++) consume(part.read(to, 0));
  });
  Deno.bench(`VolatileSlice.copyToVolatileSlice, ${name}`, reading, () => {
    for (let i = 0; i < OPERATIONS; i++) part.copyToVolatileSlice(target);
  });

  const writing = { group: `${name} into a slice (${EACH})` };
  Deno.bench(`bare set, ${name}`, { ...writing, baseline: true }, () => {
    for (let i = 0; i < OPERATIONS; i++) partBytes.set(from);
  });
  Deno.bench(`VolatileSlice.copyFrom, ${name}`, writing, () => {
    for (let i = 0; i < OPERATIONS; i++) consume(part.copyFrom(from));
  });
  Deno.bench(`VolatileSlice.write, ${name}`, writing, () => {
    for (let i = 0; i < OPERATIONS; i++) consume(part.write(from, 0));
  });
}

const offsets = addressTable((i) => i * 4 % LENGTH);
const words = new Uint32Array(memory.buffer, memory.byteOffset, LENGTH / 4);

const values = { group: `a u32 of a slice (${EACH})` };
Deno.bench("bare element, read", { ...values, baseline: true }, () => {
  let sum = 0;
  for (let i = 0; i < OPERATIONS; i++) sum ^= words[offsets[i & MASK]! / 4]!;
  consume(sum);
});
Deno.bench("bare element, written", values, () => {
  for (let i = 0; i < OPERATIONS; i++) words[offsets[i & MASK]! / 4] = i;
});
Deno.bench("VolatileSlice.readObj", values, () => {
  let sum = 0;
  for (let i = 0; i < OPERATIONS; i++) sum ^= slice.readObj(u32, offsets[i & MASK]!);
  consume(sum);
});
Deno.bench("VolatileSlice.writeObj", values, () => {
  for (let i = 0; i < OPERATIONS; i++) slice.writeObj(u32, i, offsets[i & MASK]!);
});
const reference = slice.getRef(u32, 8);
Deno.bench("a bare write, then VolatileRef.load", values, () => {
  let sum = 0;
  for (let i = 0; i < OPERATIONS; i++) {
    // A write in between: what was loaded before is not known to be there still.
    words[offsets[i & MASK]! / 4] = i;
    sum ^= reference.load();
  }
  consume(sum);
});
Deno.bench("VolatileSlice.subslice", values, () => {
  let sum = 0;
  for (let i = 0; i < OPERATIONS; i++) sum ^= slice.subslice(offsets[i & MASK]!, 4).start;
  consume(sum);
});
