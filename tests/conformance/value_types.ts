/**
 * The types that a trace names, as codecs and as JSON.
 *
 * @module
 */
import {
  array,
  type AtomicAccess,
  bytes,
  type ByteValued,
  i16,
  i32,
  i64,
  i8,
  struct,
  type TypedArray,
  u16,
  u16be,
  u16le,
  u32,
  u32be,
  u32le,
  u64,
  u64be,
  u64le,
  u8,
} from "@vmm/guest-memory";
import { bigintOf, integer, type Json, listOf, numberOf, textOf } from "./trace.ts";

/** A type of objects. */
export interface ObjectType<T> {
  readonly codec: ByteValued<T>;
  fromJson(json: Json | undefined): T;
  toJson(value: T): Json;
}

/** A type of integers that are accessed atomically. */
export interface ScalarType<T extends number | bigint> extends ObjectType<T> {
  readonly codec: AtomicAccess<T>;
}

/** A type of elements of arrays. */
export interface ElementType<T extends number | bigint> extends ScalarType<T> {
  /** Whole elements over bytes, shared with them. */
  elements(bytes: Uint8Array<ArrayBuffer>): TypedArray & { [index: number]: T };
}

/** Calls a function with the type of a name, among those of `read_obj` and `write_obj`. */
export function withObject<R>(name: string, body: <T>(type: ObjectType<T>) => R): R {
  switch (name) {
    case "le16":
      return body(number(u16le));
    case "le32":
      return body(number(u32le));
    case "le64":
      return body(wide(u64le));
    case "be16":
      return body(number(u16be));
    case "be32":
      return body(number(u32be));
    case "be64":
      return body(wide(u64be));
    case "u8x3":
      return body(byteArray(3));
    case "u8x7":
      return body(byteArray(7));
    case "u8x16":
      return body(byteArray(16));
    case "u8x32":
      return body(byteArray(32));
    case "u16x3":
      return body(wordArray(array(u16, 3)));
    case "i32x4":
      return body(wordArray(array(i32, 4)));
    case "desc":
      return body(descriptor);
    case "packed":
      return body(packed);
    default:
      return withScalar(name, body);
  }
}

/** The same among those of `load` and `store`. */
export function withScalar<R>(
  name: string,
  body: <T extends number | bigint>(type: ScalarType<T>) => R,
): R {
  switch (name) {
    case "i8":
      return body(number(i8));
    case "i16":
      return body(number(i16));
    case "i32":
      return body(number(i32));
    case "i64":
      return body(wide(i64));
    default:
      return withElement(name, body);
  }
}

/** The same among those of arrays. */
export function withElement<R>(
  name: string,
  body: <T extends number | bigint>(type: ElementType<T>) => R,
): R {
  switch (name) {
    case "u8":
      return body({ ...number(u8), elements: (bytes) => bytes });
    case "u16":
      return body({ ...number(u16), elements: (bytes) => new Uint16Array(bytes.buffer) });
    case "u32":
      return body({ ...number(u32), elements: (bytes) => new Uint32Array(bytes.buffer) });
    case "u64":
      return body({ ...wide(u64), elements: (bytes) => new BigUint64Array(bytes.buffer) });
    default:
      throw new TypeError(`Cannot read the trace: there is no type ${name}`);
  }
}

function number<C extends ByteValued<number>>(codec: C): ObjectType<number> & { codec: C } {
  return { codec, fromJson: numberOf, toJson: integer };
}

function wide<C extends ByteValued<bigint>>(codec: C): ObjectType<bigint> & { codec: C } {
  return { codec, fromJson: bigintOf, toJson: integer };
}

function byteArray(length: number): ObjectType<Uint8Array> {
  return {
    codec: bytes(length),
    fromJson: (json) => Uint8Array.fromHex(textOf(json)),
    toJson: (value) => value.toHex(),
  };
}

function wordArray(codec: ByteValued<number[]>): ObjectType<number[]> {
  return { codec, fromJson: (json) => listOf(json).map(numberOf), toJson: (value) => value };
}

const Descriptor = struct({ addr: u64, len: u32, flags: u16, next: u16 });

const descriptor: ObjectType<{ addr: bigint; len: number; flags: number; next: number }> = {
  codec: Descriptor,
  fromJson(json) {
    const [addr, len, flags, next] = listOf(json);
    return {
      addr: bigintOf(addr),
      len: numberOf(len),
      flags: numberOf(flags),
      next: numberOf(next),
    };
  },
  toJson: ({ addr, len, flags, next }) => [integer(addr), len, flags, next],
};

const Packed = struct({ tag: u8, value: u32, check: u16be }, { packed: true });

const packed: ObjectType<{ tag: number; value: number; check: number }> = {
  codec: Packed,
  fromJson(json) {
    const [tag, value, check] = listOf(json);
    return { tag: numberOf(tag), value: numberOf(value), check: numberOf(check) };
  },
  toJson: ({ tag, value, check }) => [tag, value, check],
};
