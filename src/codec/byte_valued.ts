/**
 * Values in guest memory: the layout of a type, as a codec.
 *
 * Where Rust names a type (`memory.read_obj::<u32>(addr)`), this module passes a codec
 * (`memory.readObj(u32, addr)`), and TypeScript infers the value's type from it.
 *
 * @module
 */
import type { HostMemory } from "../host/host_memory.ts";
import { byteLength, bytesOf, copyBytes } from "../host/bytes.ts";
import { withBounceBuffer } from "../host/bounce_buffer.ts";

/**
 * The layout of a value of type `T` in memory. Mirrors the trait `ByteValued`.
 *
 * Every byte pattern is a valid value. Implement it for a custom type; `read` and `write` are
 * called with `offset + byteLength` in bounds.
 *
 * @typeParam T The type of the value.
 *
 * @example A custom type: a 24-bit integer
 * ```ts
 * import { type ByteValued, fromSlice } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const u24: ByteValued<number> = {
 *   byteLength: 3,
 *   alignment: 1,
 *   read: ({ u8 }, at) => u8[at]! | u8[at + 1]! << 8 | u8[at + 2]! << 16,
 *   write: ({ u8 }, at, value) => u8.set([value, value >> 8, value >> 16], at),
 * };
 * assertEquals(fromSlice(u24, Uint8Array.of(1, 2, 3)), 0x030201);
 * ```
 */
export interface ByteValued<T> {
  /** Bytes a value takes. */
  readonly byteLength: number;
  /** Its alignment in C: 1, 2, 4, 8 or 16 bytes. Accesses work at any address. */
  readonly alignment: number;
  /** Decodes the value at a byte offset. */
  read(memory: HostMemory, offset: number): T;
  /** Encodes a value at a byte offset. */
  write(memory: HostMemory, offset: number, value: T): void;
}

/**
 * The type of the values that a codec reads and writes.
 *
 * @typeParam C The codec's type.
 *
 * @example
 * ```ts
 * import { struct, u16, u32, type ValueOf } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const Header = struct({ type: u16, length: u32 });
 * const header: ValueOf<typeof Header> = { type: 1, length: 8 };
 * assertEquals(Header.byteLength, 8);
 * ```
 */
export type ValueOf<C> = C extends ByteValued<infer T> ? T : never;

/**
 * Decodes a value from bytes. Mirrors `ByteValued::from_slice`, but copies and takes any alignment.
 *
 * @param codec The type to decode.
 * @param bytes The bytes, exactly as many as the value takes.
 * @returns The value, or `undefined` where the length is another.
 *
 * @example
 * ```ts
 * import { fromSlice, u16be } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(fromSlice(u16be, Uint8Array.of(0x12, 0x34)), 0x1234);
 * assertEquals(fromSlice(u16be, Uint8Array.of(0x12)), undefined);
 * ```
 */
export function fromSlice<T>(codec: ByteValued<T>, bytes: Uint8Array): T | undefined {
  const length = byteLength(bytes);
  if (length !== codec.byteLength) return undefined;
  return withBounceBuffer(length, (memory, buffer) => {
    copyBytes(buffer, bytesOf(bytes, 0, length));
    return codec.read(memory, 0);
  });
}

/**
 * Encodes a value to new bytes. Mirrors `ByteValued::as_slice`, but copies.
 *
 * @param codec The type to encode.
 * @param value The value.
 * @returns Its bytes.
 *
 * @example
 * ```ts
 * import { asSlice, u32 } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(asSlice(u32, 0x01020304), Uint8Array.of(4, 3, 2, 1));
 * ```
 */
export function asSlice<T>(codec: ByteValued<T>, value: T): Uint8Array {
  return withBounceBuffer(codec.byteLength, (memory, buffer) => {
    codec.write(memory, 0, value);
    return buffer.slice();
  });
}

/**
 * The value whose bytes are all zero. Mirrors `ByteValued::zeroed`.
 *
 * @param codec The type.
 * @returns The value.
 *
 * @example
 * ```ts
 * import { array, u16, zeroed } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(zeroed(array(u16, 3)), [0, 0, 0]);
 * ```
 */
export function zeroed<T>(codec: ByteValued<T>): T {
  return withBounceBuffer(codec.byteLength, (memory) => codec.read(memory, 0));
}
