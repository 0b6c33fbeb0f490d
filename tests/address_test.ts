import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  Address,
  ADDRESS_SPACE_END,
  type AnyAddress,
  GuestAddress,
  GuestMemoryHeap,
  MemoryRegionAddress,
  u8,
} from "../mod.ts";

const LAST = 2 ** 53 - 1;
const EDGES = [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 52, LAST - 1, LAST];
const INVALID = [
  -1,
  0.5,
  NaN,
  Infinity,
  -Infinity,
  2 ** 53,
  2 ** 64,
  -1n,
  2n ** 53n,
  2n ** 53n + 1n,
  2n ** 64n - 1n,
];

const number = fc.oneof(
  fc.maxSafeNat(),
  fc.nat(2 ** 16),
  fc.nat(2 ** 16).map((below) => LAST - below),
  fc.constantFrom(...EDGES),
);
const power = fc.integer({ min: 0, max: 52 }).map((exponent) => 2 ** exponent);

function inSpace(value: bigint): number | undefined {
  return value >= 0n && value < 2n ** 53n ? Number(value) : undefined;
}

function wrapped(value: bigint): [number, boolean] {
  return [Number(BigInt.asUintN(53, value)), inSpace(value) === undefined];
}

function assertChecked(
  actual: AnyAddress | number | undefined,
  unchecked: () => number,
  expected: bigint,
): void {
  const number = inSpace(expected);
  assertEquals<number | undefined>(actual, number);
  if (number === undefined) assertThrows(unchecked, RangeError);
  else assertEquals<number>(unchecked(), number);
}

for (const make of [GuestAddress, MemoryRegionAddress]) {
  Deno.test(`${make.name}() keeps every integer in [0, 2^53)`, () => {
    for (const edge of EDGES) {
      assertEquals<number>(make(edge), edge);
      assertEquals<number>(make(BigInt(edge)), edge);
    }
  });

  Deno.test(`${make.name}() refuses what is no integer in [0, 2^53)`, () => {
    for (const value of INVALID) assertThrows(() => make(value), RangeError);
  });

  Deno.test(`${make.name}() names the value it refuses`, () => {
    const message = (value: number | bigint) => assertThrows(() => make(value), RangeError).message;
    assertStringIncludes(message(2n ** 64n - 1n), "0xffffffffffffffff");
    assertStringIncludes(message(-1), "-0x1");
    assertStringIncludes(message(0.5), "0.5");
    assertStringIncludes(message(NaN), "NaN");
  });
}

Deno.test("ADDRESS_SPACE_END is one past the last address", () => {
  assertEquals(ADDRESS_SPACE_END, 2 ** 53);
});

Deno.test("Address works at 0, 2^31, 2^32 and 2^53 - 1", () => {
  for (const edge of EDGES) {
    const a = GuestAddress(edge);
    assertEquals(Address.mask(a, LAST), edge);
    assertEquals(Address.mask(a, 0), 0);
    assertEquals(Address.and(a, LAST), a);
    assertEquals(Address.or(a, 0), a);
    assertEquals(Address.or(a, LAST), GuestAddress(LAST));
    assertEquals(Address.checkedAdd(a, 0), a);
    assertEquals(Address.checkedAdd(a, LAST - edge), GuestAddress(LAST));
    assertEquals(Address.checkedSub(a, edge), GuestAddress(0));
    assertEquals(Address.checkedOffsetFrom(a, GuestAddress(0)), edge);
    assertEquals(Address.checkedOffsetFrom(a, a), 0);
    assertEquals(Address.checkedAlignUp(a, 1), a);
    assertEquals(Address.overflowingAdd(a, 0), [a, false]);
    assertEquals(Address.overflowingSub(a, edge), [GuestAddress(0), false]);
  }
});

Deno.test("Address leaves the address space at its ends only", () => {
  const first = GuestAddress(0);
  const last = GuestAddress(LAST);
  assertEquals(Address.checkedAdd(last, 1), undefined);
  assertEquals(Address.checkedAdd(last, LAST), undefined);
  assertEquals(Address.checkedSub(first, 1), undefined);
  assertEquals(Address.checkedOffsetFrom(first, last), undefined);
  assertEquals(Address.checkedAlignUp(last, 2), undefined);
  assertEquals(Address.checkedAlignUp(last, 2 ** 52), undefined);
  assertEquals(Address.overflowingAdd(last, 1), [first, true]);
  assertEquals(Address.overflowingAdd(last, LAST), [GuestAddress(LAST - 1), true]);
  assertEquals(Address.overflowingSub(first, 1), [last, true]);
  assertEquals(Address.overflowingSub(first, LAST), [GuestAddress(1), true]);
});

Deno.test("Address.mask(), and() and or() agree with BigInt on all 53 bits", () => {
  fc.assert(fc.property(number, number, (a, b) => {
    const address = GuestAddress(a);
    assertEquals(Address.mask(address, b), Number(BigInt(a) & BigInt(b)));
    assertEquals<number>(Address.and(address, b), Number(BigInt(a) & BigInt(b)));
    assertEquals<number>(Address.or(address, b), Number(BigInt(a) | BigInt(b)));
  }));
});

Deno.test("Address.checkedAdd() and uncheckedAdd() agree with BigInt", () => {
  fc.assert(fc.property(number, number, (a, b) => {
    const address = GuestAddress(a);
    assertChecked(
      Address.checkedAdd(address, b),
      () => Address.uncheckedAdd(address, b),
      BigInt(a) + BigInt(b),
    );
  }));
});

Deno.test("Address.checkedSub() and uncheckedSub() agree with BigInt", () => {
  fc.assert(fc.property(number, number, (a, b) => {
    const address = MemoryRegionAddress(a);
    assertChecked(
      Address.checkedSub(address, b),
      () => Address.uncheckedSub(address, b),
      BigInt(a) - BigInt(b),
    );
  }));
});

Deno.test("Address.checkedOffsetFrom() and uncheckedOffsetFrom() agree with BigInt", () => {
  fc.assert(fc.property(number, number, (a, b) => {
    const address = GuestAddress(a);
    const base = GuestAddress(b);
    assertChecked(
      Address.checkedOffsetFrom(address, base),
      () => Address.uncheckedOffsetFrom(address, base),
      BigInt(a) - BigInt(b),
    );
  }));
});

Deno.test("Address.overflowingAdd() and overflowingSub() agree with BigInt modulo 2^53", () => {
  fc.assert(fc.property(number, number, (a, b) => {
    const address = GuestAddress(a);
    const sum: [number, boolean] = Address.overflowingAdd(address, b);
    assertEquals(sum, wrapped(BigInt(a) + BigInt(b)));
    const difference: [number, boolean] = Address.overflowingSub(address, b);
    assertEquals(difference, wrapped(BigInt(a) - BigInt(b)));
  }));
});

Deno.test("Address.checkedAlignUp() and uncheckedAlignUp() agree with BigInt", () => {
  fc.assert(fc.property(number, power, (a, unit) => {
    const address = GuestAddress(a);
    const mask = BigInt(unit) - 1n;
    assertChecked(
      Address.checkedAlignUp(address, unit),
      () => Address.uncheckedAlignUp(address, unit),
      BigInt(a) + mask & ~mask,
    );
  }));
});

Deno.test("Address.checkedAlignUp() takes every power of two below 2^53", () => {
  for (let exponent = 0; exponent < 53; exponent++) {
    assertEquals<number | undefined>(
      Address.checkedAlignUp(GuestAddress(1), 2 ** exponent),
      2 ** exponent,
    );
  }
});

Deno.test("Address.checkedAlignUp() refuses what is no power of two", () => {
  const units = [0, -1, -2, 0.5, 3, 6, 4095, NaN, Infinity, 2 ** 32 - 1, 2 ** 48 + 1, LAST];
  for (const unit of units) {
    assertThrows(
      () => Address.checkedAlignUp(GuestAddress(1), unit),
      RangeError,
      undefined,
      `${unit}`,
    );
    assertThrows(
      () => Address.uncheckedAlignUp(GuestAddress(1), unit),
      RangeError,
      undefined,
      `${unit}`,
    );
  }
});

Deno.test("GuestAddress and MemoryRegionAddress are different types", () => {
  const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 16]]);
  const [region] = memory;
  const address = GuestAddress(4);
  const offset = MemoryRegionAddress(4);

  const sum: GuestAddress | undefined = Address.checkedAdd(address, 4);
  assertEquals(sum, GuestAddress(8));
  // @ts-expect-error a sum with a guest address is a guest address
  const wrong: MemoryRegionAddress | undefined = Address.checkedAdd(address, 4);
  assertEquals<unknown>(wrong, sum);
  // @ts-expect-error an offset in a region is no guest address
  memory.readObj(u8, offset);
  // @ts-expect-error a plain number is no guest address
  memory.readObj(u8, 4);
  // @ts-expect-error a guest address is no offset in a region
  region?.readObj(u8, address);
  // @ts-expect-error the two kinds have no distance
  Address.checkedOffsetFrom(address, offset);
  // @ts-expect-error a plain number has no address arithmetic
  Address.checkedAdd(4, 4);
});
