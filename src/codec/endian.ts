/**
 * Codecs of integers whose endianness is part of the type, as devices and file formats define them.
 *
 * @module
 */
import type { ByteValued } from "./byte_valued.ts";
import { type AtomicAccess, bigint, number, u16, u32, u64 } from "./scalar.ts";

/** 16-bit little-endian unsigned integer. Mirrors `Le16`. */
export const u16le: AtomicAccess<number> = u16;

/** 32-bit little-endian unsigned integer. Mirrors `Le32`. */
export const u32le: AtomicAccess<number> = u32;

/** 64-bit little-endian unsigned integer, as a `bigint`. Mirrors `Le64`. */
export const u64le: AtomicAccess<bigint> = u64;

/** Little-endian unsigned integer as wide as a pointer. Mirrors `LeSize`. */
export const usizele: AtomicAccess<bigint> = u64;

// The big-endian codecs read and write the host's integer and swap its bytes, so an aligned one
// is one access too (rule 4).

/** 16-bit big-endian unsigned integer. Mirrors `Be16`. */
export const u16be: ByteValued<number> = {
  byteLength: 2,
  alignment: 2,
  read: (memory, offset) => swap16(u16.read(memory, offset)),
  write: (memory, offset, value) => u16.write(memory, offset, swap16(number(value))),
};

/** 32-bit big-endian unsigned integer. Mirrors `Be32`. */
export const u32be: ByteValued<number> = {
  byteLength: 4,
  alignment: 4,
  read: (memory, offset) => swap32(u32.read(memory, offset)),
  write: (memory, offset, value) => u32.write(memory, offset, swap32(number(value))),
};

/** 64-bit big-endian unsigned integer, as a `bigint`. Mirrors `Be64`. */
export const u64be: ByteValued<bigint> = {
  byteLength: 8,
  alignment: 8,
  read: (memory, offset) => swap64(u64.read(memory, offset)),
  write: (memory, offset, value) => u64.write(memory, offset, swap64(bigint(value))),
};

/** Big-endian unsigned integer as wide as a pointer. Mirrors `BeSize`. */
export const usizebe: ByteValued<bigint> = u64be;

function swap16(value: number): number {
  return (value & 0xff) << 8 | value >>> 8 & 0xff;
}

function swap32(value: number): number {
  return (swap16(value) << 16 | swap16(value >>> 16)) >>> 0;
}

function swap64(value: bigint): bigint {
  const low = Number(value & 0xffff_ffffn);
  const high = Number(value >> 32n & 0xffff_ffffn);
  return BigInt(swap32(low)) << 32n | BigInt(swap32(high));
}
