import { assert, assertEquals, assertThrows } from "@std/assert";
import { checkAddress, checkCount, shown, wrongKind } from "../../src/text/argument.ts";

Deno.test("shown() distinguishes values of every kind", () => {
  const values = [
    "1",
    'a"b',
    1,
    -0.5,
    NaN,
    1n,
    null,
    undefined,
    true,
    Symbol("s"),
    {},
    [],
    () => 1,
  ];
  assertEquals(values.map(shown), [
    ...['"1"', '"a\\"b"', "1", "-0.5", "NaN", "1n", "null", "undefined", "true", "Symbol(s)"],
    ...["an object", "an object", "a function"],
  ]);
});

Deno.test("shown() runs no code of the value", () => {
  const refuse = () => {
    throw new Error("ran");
  };
  const value = { toString: refuse, valueOf: refuse, [Symbol.toPrimitive]: refuse, toJSON: refuse };
  assertEquals(shown(value), "an object");
  assertEquals(shown(new Proxy({}, { get: refuse, has: refuse, ownKeys: refuse })), "an object");
  assertEquals(shown(new Proxy(() => {}, { get: refuse, apply: refuse })), "a function");
});

Deno.test("wrongKind() is a TypeError that says what, where and what is wanted", () => {
  const error = wrongKind("addr", "0x10", "a number");
  assert(error instanceof TypeError);
  assertEquals(error.message, 'Cannot use "0x10" as addr: it must be a number');
});

Deno.test("checkCount() takes integers from 0", () => {
  for (const count of [0, -0, 1, 2 ** 53, 2 ** 60]) checkCount(count);
  for (const count of [-1, 0.5, NaN, Infinity, -Infinity]) {
    assertThrows(() => checkCount(count), RangeError, `Cannot use ${count} as count`);
  }
  for (const count of ["1", 1n, undefined, null, true, {}, Symbol("s")] as unknown as number[]) {
    assertThrows(() => checkCount(count), TypeError, "as count: it must be a number");
  }
});

Deno.test("checkAddress() takes any number: whether it is an address, the access says", () => {
  for (const address of [0, -1, 0.5, NaN, Infinity]) checkAddress(address);
  for (const address of ["1", 1n, undefined, null, true, {}, Symbol("s")] as unknown as number[]) {
    assertThrows(() => checkAddress(address), TypeError, "as addr: it must be a number");
  }
});
