/**
 * What the benchmarks have in common: sizes, addresses and buffers.
 *
 * @module
 */
export { byteSize } from "../src/text/number_format.ts";
export { addressTable, GIB, KIB, MASK, MIB, randomIntegers, TIB } from "../src/bench/workload.ts";

/**
 * Bytes on the heap that begin at a multiple of the alignment in the host, as the Rust peer's do: where
 * the allocator happens to put a buffer changes a 512-byte copy by up to a fifth.
 *
 * @param length How many.
 * @param alignment Bytes: a cache line by default.
 */
export function alignedBytes(length: number, alignment: number = 64): Uint8Array<ArrayBuffer> {
  const room = new Uint8Array(length + alignment);
  const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(room));
  const offset = Number(-address & BigInt(alignment - 1));
  return room.subarray(offset, offset + length);
}

/** Whether a permission is granted, so that what needs it is ignored where it is not. */
export function isGranted(name: "write"): boolean {
  return Deno.permissions.querySync({ name }).state === "granted";
}
