import { assertEquals, assertThrows } from "@std/assert";
import { VolatileSlice } from "../../mod.ts";
import { byteLength, bytesOf, className, copyBytes, elementSize } from "../../src/host/bytes.ts";
import { count } from "../support/values.ts";

const ARRAYS = [
  ...[Uint8Array, Uint8ClampedArray, Int8Array, Uint16Array, Int16Array, Uint32Array, Int32Array],
  ...[BigUint64Array, BigInt64Array, Float32Array, Float64Array],
];

Deno.test("byteLength() and className() of typed arrays are the real ones", () => {
  for (const Array of ARRAYS) {
    class Derived extends (Array as Uint8ArrayConstructor) {
      override get byteLength(): number {
        return 1;
      }
      override get length(): number {
        return 1;
      }
      override get [Symbol.toStringTag](): never {
        return "Derived" as never;
      }
    }
    const array = new Derived(new ArrayBuffer(24), 8);
    assertEquals([byteLength(array), className(array)], [16, Array.name]);
  }
});

Deno.test("byteLength() is 0 once the buffer is gone or too small, and follows it", () => {
  const array = new Uint8Array(8);
  array.buffer.transfer();
  assertEquals(byteLength(array), 0);
  const buffer = new ArrayBuffer(8, { maxByteLength: 16 });
  const [fixed, tracking] = [new Uint8Array(buffer, 4, 4), new Uint8Array(buffer)];
  buffer.resize(7);
  assertEquals([byteLength(fixed), byteLength(tracking)], [0, 7]);
  buffer.resize(16);
  assertEquals([byteLength(fixed), byteLength(tracking)], [4, 16]);
});

Deno.test("byteLength() refuses what is no typed array, and says so", () => {
  for (const value of [{}, [1, 2], "text", 8, 1n, true] as unknown as Uint8Array[]) {
    assertThrows(() => byteLength(value), TypeError, "as buf: it must be a typed array");
  }
  for (
    const value of [
      undefined,
      null,
      { byteLength: 8 },
      new DataView(new ArrayBuffer(8)),
      new ArrayBuffer(8),
      Object.create(new Uint8Array(8)),
    ] as unknown as Uint8Array[]
  ) {
    assertThrows(() => byteLength(value), TypeError);
  }
});

Deno.test("className() of what is no typed array is undefined", () => {
  for (const value of [{}, null, undefined, "Uint8Array", { [Symbol.toStringTag]: "Int8Array" }]) {
    assertEquals(className(value as never), undefined);
  }
});

Deno.test("bytesOf() gives plain bytes of the same buffer, from a byte of the array on", () => {
  class Derived extends Uint16Array {
    override subarray(): never {
      throw new Error("asked");
    }
  }
  const buffer = count(16).buffer;
  const array = new Derived(buffer, 4, 4);
  const bytes = bytesOf(array, 2, 3);
  assertEquals([...bytes], [7, 8, 9]);
  assertEquals([bytes.constructor === Uint8Array, bytes.buffer === buffer], [true, true]);
  assertEquals(bytesOf(array, 8, 0).length, 0);
  assertThrows(() => bytesOf(array, 13, 0), RangeError);
  assertThrows(() => bytesOf(array, 0, 13), RangeError);
});

Deno.test("copyBytes() copies to an offset, whatever the classes make of it", () => {
  class Derived extends Uint8Array<ArrayBuffer> {
    override set(): never {
      throw new Error("asked");
    }
    override get length(): number {
      return 1;
    }
  }
  const to = new Derived(new ArrayBuffer(8));
  copyBytes(to, Derived.from(count(3)), 4);
  copyBytes(to, count(2, 8));
  assertEquals([...Uint8Array.prototype.values.call(to)], [8, 9, 0, 0, 1, 2, 3, 0]);
  assertThrows(() => copyBytes(to, count(5), 4), RangeError);
});

Deno.test("elementSize() is 1 for an array of no elements, whatever its class says", () => {
  for (const Array of ARRAYS) assertEquals(elementSize(new Array(0)), 1);
  for (const size of [0, NaN, 8]) {
    const array = Object.defineProperty(new Uint16Array(0), "BYTES_PER_ELEMENT", { value: size });
    assertEquals([elementSize(array), VolatileSlice.from(count(4)).copyTo(array)], [1, 0]);
  }
});
