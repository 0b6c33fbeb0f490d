/**
 * Addresses and bytes, as tests write them.
 *
 * @module
 */
import { type Bytes, GuestAddress } from "../../mod.ts";

export { GuestAddress as gpa, MemoryRegionAddress as offset } from "../../mod.ts";

/** Bytes that count up. */
export function count(length: number, first = 1): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => i + first);
}

/** What memory contains. */
export function content(memory: Bytes<GuestAddress>, addr: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  memory.readSlice(bytes, GuestAddress(addr));
  return bytes;
}
