/**
 * The codec of guest addresses, as guests write them into descriptors.
 *
 * @module
 */
import { ADDRESS_SPACE_END, GuestAddress } from "../address.ts";
import { InvalidGuestAddress } from "../error/guest_memory_error.ts";
import type { ByteValued } from "./byte_valued.ts";
import { number, u64 } from "./scalar.ts";

/**
 * A guest address as a 64-bit little-endian unsigned integer. Reading one of 2^53 or more throws
 * {@linkcode InvalidGuestAddress}, as an access to an address in no region does. So a device
 * catches one class of errors, {@linkcode GuestMemoryError}, for every address that a guest may
 * write.
 *
 * @example
 * ```ts
 * import {
 *   guestAddress,
 *   GuestAddress,
 *   GuestMemoryError,
 *   GuestMemoryHeap,
 *   struct,
 *   u32le,
 *   u64le,
 * } from "@vmm/guest-memory";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x1000]]);
 * const Buffer = struct({ addr: guestAddress, len: u32le });
 * memory.writeObj(Buffer, { addr: GuestAddress(0x800), len: 16 }, GuestAddress(0));
 * assertEquals(memory.readObj(Buffer, GuestAddress(0)).addr, GuestAddress(0x800));
 * memory.writeObj(u64le, 2n ** 64n - 1n, GuestAddress(0));
 * assertThrows(() => memory.readObj(Buffer, GuestAddress(0)), GuestMemoryError);
 * ```
 */
export const guestAddress: ByteValued<GuestAddress> = {
  byteLength: 8,
  alignment: 8,
  read(memory, offset) {
    // One access (rule 4). A bigint, and a number of it, take 20 ns longer than the two halves.
    if ((offset & 7) === 0) AS_F64[0] = memory.f64[offset / 8]!;
    else AS_U64[0] = u64.read(memory, offset);
    const high = AS_U32[1]!;
    if (high >= LIMIT_HIGH) throw new InvalidGuestAddress(u64.read(memory, offset));
    const low = AS_U32[0]!;
    return (high === 0 ? low : high * 2 ** 32 + low) as GuestAddress;
  },
  write: (memory, offset, value) => u64.write(memory, offset, BigInt(GuestAddress(number(value)))),
};

// Eight bytes as their halves. A number that is not one keeps its highest bits, which are refused.
const AS_F64 = new Float64Array(1);
const AS_U64 = new BigUint64Array(AS_F64.buffer);
const AS_U32 = new Uint32Array(AS_F64.buffer);
const LIMIT_HIGH = ADDRESS_SPACE_END / 2 ** 32;
