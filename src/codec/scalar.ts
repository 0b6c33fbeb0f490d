/**
 * Codecs of the scalars: integers and floating-point numbers of the host's endianness, which is
 * little-endian on every platform of Deno.
 *
 * Each is written out: with a shared factory, V8 would call through one megamorphic closure.
 * An aligned scalar is one element of a typed array, read or written in one access (rule 4).
 * Values wrap as typed-array elements do: writing -1 as `u16` stores 0xffff. Any other type than
 * number, or bigint for 64 bits, throws TypeError.
 *
 * @module
 */
import type { ByteValued } from "./byte_valued.ts";
import type { HostMemory } from "../host/host_memory.ts";
import { wrongKind } from "../text/argument.ts";

/** The typed arrays that `Atomics` takes for values of type `T`. */
export type AtomicArray<T> = T extends bigint ? BigUint64Array | BigInt64Array
  : Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array;

/**
 * A codec whose values can be accessed atomically: the integers of 1 to 8 bytes of the host's
 * endianness. Mirrors the trait `AtomicAccess`.
 *
 * @typeParam T `number`, or `bigint` for 64 bits.
 */
export interface AtomicAccess<T extends number | bigint> extends ByteValued<T> {
  /** The memory as an array of this integer. */
  elements(memory: HostMemory): AtomicArray<T>;
}

// Typed arrays convert values: "1" would be stored as 1, and undefined as 0.

/** A value that is a number. */
export function number(value: number): number {
  if (typeof value !== "number") throw wrongKind("value", value, "a number");
  return value;
}

/** A value that is a bigint. */
export function bigint(value: bigint): bigint {
  if (typeof value !== "bigint") throw wrongKind("value", value, "a bigint");
  return value;
}

/**
 * Refuses what is not an integer of a codec's kind: `Atomics` converts its arguments.
 *
 * @throws {TypeError} It is not a number, or not a bigint where the integer has 64 bits.
 */
export function checkInteger<T extends number | bigint>(
  name: string,
  value: T,
  { byteLength }: AtomicAccess<T>,
): void {
  const isKind = byteLength === 8 ? typeof value === "bigint" : typeof value === "number";
  if (!isKind) throw wrongKind(name, value, byteLength === 8 ? "a bigint" : "a number");
}

/**
 * The index of an integer in the array of its kind.
 *
 * @param offset Where it is, a multiple of its size.
 * @param size Its bytes: a power of two.
 */
export function elementIndex(offset: number, size: number): number {
  // A division takes longer than the access.
  return offset < 2 ** 31 ? offset >> 31 - Math.clz32(size) : offset / size;
}

/** 8-bit unsigned integer. */
export const u8: AtomicAccess<number> = {
  byteLength: 1,
  alignment: 1,
  read: (memory, offset) => memory.u8[offset]!,
  write(memory, offset, value) {
    memory.u8[offset] = number(value);
  },
  elements: (memory) => memory.u8,
};

/** 8-bit signed integer. */
export const i8: AtomicAccess<number> = {
  byteLength: 1,
  alignment: 1,
  read: (memory, offset) => memory.i8[offset]!,
  write(memory, offset, value) {
    memory.i8[offset] = number(value);
  },
  elements: (memory) => memory.i8,
};

/** 16-bit unsigned integer. */
export const u16: AtomicAccess<number> = {
  byteLength: 2,
  alignment: 2,
  read: (memory, offset) =>
    (offset & 1) === 0 ? memory.u16[offset / 2]! : memory.dataView.getUint16(offset, true),
  write(memory, offset, value) {
    if ((offset & 1) === 0) memory.u16[offset / 2] = number(value);
    else memory.dataView.setUint16(offset, number(value), true);
  },
  elements: (memory) => memory.u16,
};

/** 16-bit signed integer. */
export const i16: AtomicAccess<number> = {
  byteLength: 2,
  alignment: 2,
  read: (memory, offset) =>
    (offset & 1) === 0 ? memory.i16[offset / 2]! : memory.dataView.getInt16(offset, true),
  write(memory, offset, value) {
    if ((offset & 1) === 0) memory.i16[offset / 2] = number(value);
    else memory.dataView.setInt16(offset, number(value), true);
  },
  elements: (memory) => memory.i16,
};

/** 32-bit unsigned integer. */
export const u32: AtomicAccess<number> = {
  byteLength: 4,
  alignment: 4,
  read: (memory, offset) =>
    (offset & 3) === 0 ? memory.u32[offset / 4]! : memory.dataView.getUint32(offset, true),
  write(memory, offset, value) {
    if ((offset & 3) === 0) memory.u32[offset / 4] = number(value);
    else memory.dataView.setUint32(offset, number(value), true);
  },
  elements: (memory) => memory.u32,
};

/** 32-bit signed integer. */
export const i32: AtomicAccess<number> = {
  byteLength: 4,
  alignment: 4,
  read: (memory, offset) =>
    (offset & 3) === 0 ? memory.i32[offset / 4]! : memory.dataView.getInt32(offset, true),
  write(memory, offset, value) {
    if ((offset & 3) === 0) memory.i32[offset / 4] = number(value);
    else memory.dataView.setInt32(offset, number(value), true);
  },
  elements: (memory) => memory.i32,
};

/** 64-bit unsigned integer, as a `bigint`. */
export const u64: AtomicAccess<bigint> = {
  byteLength: 8,
  alignment: 8,
  read: (memory, offset) =>
    (offset & 7) === 0 ? memory.u64[offset / 8]! : memory.dataView.getBigUint64(offset, true),
  write(memory, offset, value) {
    if ((offset & 7) === 0) memory.u64[offset / 8] = bigint(value);
    else memory.dataView.setBigUint64(offset, bigint(value), true);
  },
  elements: (memory) => memory.u64,
};

/** 64-bit signed integer, as a `bigint`. */
export const i64: AtomicAccess<bigint> = {
  byteLength: 8,
  alignment: 8,
  read: (memory, offset) =>
    (offset & 7) === 0 ? memory.i64[offset / 8]! : memory.dataView.getBigInt64(offset, true),
  write(memory, offset, value) {
    if ((offset & 7) === 0) memory.i64[offset / 8] = bigint(value);
    else memory.dataView.setBigInt64(offset, bigint(value), true);
  },
  elements: (memory) => memory.i64,
};

/** Single-precision number. */
export const f32: ByteValued<number> = {
  byteLength: 4,
  alignment: 4,
  read: (memory, offset) =>
    (offset & 3) === 0 ? memory.f32[offset / 4]! : memory.dataView.getFloat32(offset, true),
  write(memory, offset, value) {
    if ((offset & 3) === 0) memory.f32[offset / 4] = number(value);
    else memory.dataView.setFloat32(offset, number(value), true);
  },
};

/** Double-precision number. */
export const f64: ByteValued<number> = {
  byteLength: 8,
  alignment: 8,
  read: (memory, offset) =>
    (offset & 7) === 0 ? memory.f64[offset / 8]! : memory.dataView.getFloat64(offset, true),
  write(memory, offset, value) {
    if ((offset & 7) === 0) memory.f64[offset / 8] = number(value);
    else memory.dataView.setFloat64(offset, number(value), true);
  },
};

/** 128-bit unsigned integer, as a `bigint`. Two accesses: it may tear. */
export const u128: ByteValued<bigint> = {
  byteLength: 16,
  alignment: 16,
  read: (memory, offset) => u64.read(memory, offset + 8) << 64n | u64.read(memory, offset),
  write(memory, offset, value) {
    u64.write(memory, offset, bigint(value));
    u64.write(memory, offset + 8, value >> 64n);
  },
};

/** 128-bit signed integer, as a `bigint`. Two accesses: it may tear. */
export const i128: ByteValued<bigint> = {
  byteLength: 16,
  alignment: 16,
  read: (memory, offset) => i64.read(memory, offset + 8) << 64n | u64.read(memory, offset),
  write: u128.write,
};

/** An unsigned integer as wide as a pointer: 64 bits on every supported platform. */
export const usize: AtomicAccess<bigint> = u64;

/** A signed integer as wide as a pointer: 64 bits on every supported platform. */
export const isize: AtomicAccess<bigint> = i64;
