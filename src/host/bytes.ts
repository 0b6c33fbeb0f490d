/**
 * The real bytes of a typed array. A class derived from `Uint8Array` may define `length`,
 * `subarray` or `set` in any way, so copies never rely on them.
 *
 * @module
 */
import { wrongKind } from "../text/argument.ts";

// The getters that all typed arrays share, by name. Each is a constant, so that V8 inlines it: 0.4
// ns instead of 4. For that, V8 has to know the array's class from an earlier access to a property.
const getters = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(Uint8Array.prototype));
const bufferOf = getters["buffer"]!.get!;
const byteOffsetOf = getters["byteOffset"]!.get!;
const byteLengthOf = getters["byteLength"]!.get!;
const lengthOf = getters["length"]!.get!;
const tagOf = getters[Symbol.toStringTag as never]!.get!;
const { set } = Uint8Array.prototype;

/**
 * Bytes of a typed array now: 0 if its buffer is detached.
 *
 * @throws {TypeError} It is no typed array.
 */
export function byteLength(array: ArrayBufferView): number {
  if (array.byteLength === undefined) refuse(array);
  return byteLengthOf.call(array);
}

// Apart from its caller, which is small enough that V8 does not charge it to the inlining budget.
function refuse(array: unknown): never {
  throw wrongKind("buf", array, "a typed array");
}

/** Bytes of an element of a typed array; 1 if the array is empty. */
export function elementSize(array: ArrayBufferView): number {
  const { BYTES_PER_ELEMENT: size } = array as Uint8Array;
  const bytes = byteLength(array);
  const length = lengthOf.call(array);
  // A division takes ten times as long.
  return size * length === bytes && bytes > 0 ? size : bytes / length || 1;
}

/** The name of a typed array's real class, such as `"Uint16Array"`; `undefined` if it is none. */
export function className(array: ArrayBufferView): string | undefined {
  return tagOf.call(array);
}

/**
 * Some bytes of a typed array, as a plain `Uint8Array`.
 *
 * @param array The typed array.
 * @param offset The first byte.
 * @param count How many.
 * @throws {RangeError} It has fewer.
 */
export function bytesOf(array: ArrayBufferView, offset: number, count: number): Uint8Array {
  return new Uint8Array(bufferOf.call(array), byteOffsetOf.call(array) + offset, count);
}

/** A typed array as bytes: itself if it is an array of bytes, as making a view takes longer. */
export function asBytes(array: ArrayBufferView): Uint8Array {
  return className(array) === "Uint8Array"
    ? array as Uint8Array
    : bytesOf(array, 0, byteLength(array));
}

/** `to.set(from, offset)`, even if the class of `to` overrides `set`. */
export function copyBytes(to: Uint8Array, from: Uint8Array, offset: number = 0): void {
  set.call(to, from, offset);
}
