/**
 * Addresses: which kinds there are and how to calculate with them.
 *
 * An address is a number with a brand: it costs nothing, and passing an offset in a region for a
 * guest physical address is a type error. Every physical address width in use (52 bits at most)
 * fits below 2^53.
 *
 * | Item | What it is |
 * | --- | --- |
 * | {@linkcode GuestAddress} | a guest physical address |
 * | {@linkcode MemoryRegionAddress} | an offset in a region |
 * | {@linkcode Address} | the arithmetic on both, checked |
 *
 * @module
 */
import { checkNumber, shown, wrongKind } from "./text/argument.ts";
import { hex } from "./text/number_format.ts";

/** What every kind of address is: an integer in [0, 2^53). Mirrors the trait `AddressValue`. */
export type AnyAddress = number & { readonly __kind: string };

/**
 * A guest physical address (GPA), in bytes from 0, below 2^53. Mirrors `GuestAddress`.
 */
export type GuestAddress = number & { readonly __kind: "GuestAddress" };

/**
 * An offset from the start of a region, in bytes, below 2^53. Mirrors `MemoryRegionAddress`.
 */
export type MemoryRegionAddress = number & { readonly __kind: "MemoryRegionAddress" };

/** A size or an offset in guest memory, in bytes. Mirrors `GuestUsize`. */
export type GuestUsize = number;

/**
 * One past the last address: addresses are in [0, 2^53).
 */
export const ADDRESS_SPACE_END: number = 2 ** 53;

/**
 * Makes a guest physical address. Mirrors `GuestAddress(x)`.
 *
 * @param value The address in bytes, also as a bigint: codecs read a u64 as one.
 * @returns The same value, branded.
 * @throws {RangeError} It is not an integer in [0, 2^53).
 *
 * @example
 * ```ts
 * import { GuestAddress } from "@vmm/guest-memory";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * assertEquals(GuestAddress(0x1000n), GuestAddress(0x1000));
 * assertThrows(() => GuestAddress(2n ** 64n - 1n), RangeError);
 * ```
 */
export function GuestAddress(value: number | bigint): GuestAddress {
  return checked("guest address", value) as GuestAddress;
}

/**
 * Makes an offset in a region. Mirrors `MemoryRegionAddress(x)`.
 *
 * @param value The offset in bytes.
 * @returns The same value, branded.
 * @throws {RangeError} It is not an integer in [0, 2^53).
 *
 * @example
 * ```ts
 * import { MemoryRegionAddress } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(MemoryRegionAddress(16n), MemoryRegionAddress(16));
 * ```
 */
export function MemoryRegionAddress(value: number | bigint): MemoryRegionAddress {
  return checked("region offset", value) as MemoryRegionAddress;
}

function checked(kind: string, value: number | bigint): number {
  if (typeof value !== "number" && typeof value !== "bigint") {
    throw wrongKind(kind, value, "a number or a bigint");
  }
  const number = Number(value);
  // A bigint above 2^53 may round down to 2^53, never below it, so nothing is truncated here.
  if (Number.isSafeInteger(number) && number >= 0) return number;
  const shown = typeof value === "bigint" || Number.isInteger(value) ? hex(value) : String(value);
  throw new RangeError(`Cannot make a ${kind} of ${shown}: it is not an integer in [0, 2^53)`);
}

/**
 * The arithmetic on addresses, for both kinds. Mirrors the trait `Address`.
 *
 * `checked…` give `undefined` where the result leaves [0, 2^53), `overflowing…` wrap around at
 * 2^53 and say so, `unchecked…` are for results known to be in range and throw RangeError when
 * they are not (as the original panics). Operands are integers in [0, 2^53).
 *
 * @example
 * ```ts
 * import { Address, GuestAddress } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const base = GuestAddress(0x1234);
 * assertEquals(Address.checkedAdd(base, 0x10), GuestAddress(0x1244));
 * assertEquals(Address.checkedSub(base, 0x2000), undefined);
 * assertEquals(Address.checkedAlignUp(base, 0x1000), GuestAddress(0x2000));
 * assertEquals(Address.overflowingSub(base, 0x1235), [GuestAddress(2 ** 53 - 1), true]);
 * ```
 */
export const Address: {
  /** `address & mask`, as a plain number. */
  mask(address: AnyAddress, mask: number): number;
  /** `address & value`, as an address. */
  and<A extends AnyAddress>(address: A, value: number): A;
  /** `address | value`, as an address. */
  or<A extends AnyAddress>(address: A, value: number): A;
  /** `address - base` in bytes, or `undefined` where base is above the address. */
  checkedOffsetFrom<A extends AnyAddress>(address: A, base: A): number | undefined;
  /** `address - base` in bytes; RangeError where base is above the address. */
  uncheckedOffsetFrom<A extends AnyAddress>(address: A, base: A): number;
  /** Rounds up to a multiple of a power of two; RangeError where it is not one. */
  checkedAlignUp<A extends AnyAddress>(address: A, powerOfTwo: number): A | undefined;
  /** Rounds up to a multiple of a power of two; RangeError where the result is out of range. */
  uncheckedAlignUp<A extends AnyAddress>(address: A, powerOfTwo: number): A;
  /** `address + value`, or `undefined` on overflow. */
  checkedAdd<A extends AnyAddress>(address: A, value: number): A | undefined;
  /** `address + value` modulo 2^53, and whether it wrapped. */
  overflowingAdd<A extends AnyAddress>(address: A, value: number): [A, boolean];
  /** `address + value`; RangeError on overflow. */
  uncheckedAdd<A extends AnyAddress>(address: A, value: number): A;
  /** `address - value`, or `undefined` on underflow. */
  checkedSub<A extends AnyAddress>(address: A, value: number): A | undefined;
  /** `address - value` modulo 2^53, and whether it wrapped. */
  overflowingSub<A extends AnyAddress>(address: A, value: number): [A, boolean];
  /** `address - value`; RangeError on underflow. */
  uncheckedSub<A extends AnyAddress>(address: A, value: number): A;
} = {
  mask: (address, mask) => bitwise(address, mask, (a, b) => a & b),
  and: (address, value) => bitwise(address, value, (a, b) => a & b) as typeof address,
  or: (address, value) => bitwise(address, value, (a, b) => a | b) as typeof address,
  checkedOffsetFrom: (address, base) =>
    inRange(checkNumber("address", address) - checkNumber("base", base)),
  uncheckedOffsetFrom: (address, base) =>
    ensureInRange(checkNumber("address", address) - checkNumber("base", base), "offset"),
  checkedAlignUp: (address, powerOfTwo) => inRange(alignUp(address, powerOfTwo)),
  uncheckedAlignUp: (address, powerOfTwo) =>
    ensureInRange(alignUp(address, powerOfTwo), "alignment"),
  checkedAdd: (address, value) =>
    inRange(checkNumber("address", address) + checkNumber("value", value)),
  overflowingAdd: (address, value) =>
    wrap(checkNumber("address", address), checkNumber("value", value)),
  uncheckedAdd: (address, value) =>
    ensureInRange(checkNumber("address", address) + checkNumber("value", value), "sum"),
  checkedSub: (address, value) =>
    inRange(checkNumber("address", address) - checkNumber("value", value)),
  overflowingSub: (address, value) =>
    wrap(checkNumber("address", address), -checkNumber("value", value)),
  uncheckedSub: (address, value) =>
    ensureInRange(checkNumber("address", address) - checkNumber("value", value), "difference"),
};

// A sum of two integers below 2^53 is exact, or rounded but then still at or above 2^53.
function inRange<A extends number>(result: number): A | undefined {
  return result >= 0 && result < ADDRESS_SPACE_END ? result as A : undefined;
}

function ensureInRange<A extends number>(result: number, what: string): A {
  const checked = inRange<A>(result);
  if (checked === undefined) {
    throw new RangeError(`Cannot calculate an address: the ${what} is not in [0, 2^53)`);
  }
  return checked;
}

function wrap<A extends number>(address: A, value: number): [A, boolean] {
  const sum = address + value;
  if (sum < 0) return [sum + ADDRESS_SPACE_END as A, true];
  if (sum < ADDRESS_SPACE_END) return [sum as A, false];
  // Subtract before adding: the sum itself may not be exact.
  return [address - ADDRESS_SPACE_END + value as A, true];
}

function alignUp(address: number, powerOfTwo: number): number {
  checkNumber("address", address);
  const isPowerOfTwo = Number.isSafeInteger(powerOfTwo) && powerOfTwo > 0 &&
    2 ** Math.round(Math.log2(powerOfTwo)) === powerOfTwo;
  if (!isPowerOfTwo) {
    throw new RangeError(`Cannot align to ${shown(powerOfTwo)}: powerOfTwo must be a power of two`);
  }
  return Math.ceil(address / powerOfTwo) * powerOfTwo;
}

// JavaScript's bitwise operators work on 32 bits: the halves are combined apart.
function bitwise(a: number, b: number, combine: (a: number, b: number) => number): number {
  checkNumber("address", a);
  checkNumber("value", b);
  const high = combine(Math.floor(a / 2 ** 32), Math.floor(b / 2 ** 32)) >>> 0;
  return high * 2 ** 32 + (combine(a, b) >>> 0);
}
