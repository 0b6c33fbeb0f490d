/**
 * Addresses and bytes, as tests write them.
 *
 * @module
 */
import { type Bytes, GuestAddress, type TypedArray } from "../../mod.ts";

export { GuestAddress as gpa, MemoryRegionAddress as offset } from "../../mod.ts";

/** Bytes that count up. */
export function count(length: number, first = 1): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => i + first);
}

/** Five elements of each type, all zero. */
export const TYPED_ARRAYS: readonly TypedArray[] = [
  new Uint8Array(5),
  new Int8Array(5),
  new Uint16Array(5),
  new Int16Array(5),
  new Uint32Array(5),
  new Int32Array(5),
  new BigUint64Array(5),
  new BigInt64Array(5),
  new Float32Array(5),
  new Float64Array(5),
];

/** What memory contains. */
export function content(memory: Bytes<GuestAddress>, addr: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  memory.readSlice(bytes, GuestAddress(addr));
  return bytes;
}
