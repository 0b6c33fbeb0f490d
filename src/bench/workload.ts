/**
 * What benchmarks have in common: sizes, and tables of addresses.
 *
 * @module
 */
import { GuestAddress } from "../address.ts";

export const KIB: number = 2 ** 10;
export const MIB: number = 2 ** 20;
export const GIB: number = 2 ** 30;
export const TIB: number = 2 ** 40;

/** A table's length less 1: the entry of access `i` is `table[i & MASK]`. */
export const MASK = 1023;

/**
 * A table of addresses, which no compiler knows: what is read at `table[i & MASK]` can neither be moved
 * out of a loop nor be known from the access before.
 *
 * @param addressOf The address of each entry.
 */
export function addressTable(addressOf: (index: number) => number): readonly GuestAddress[] {
  return Array.from({ length: MASK + 1 }, (_, i) => GuestAddress(addressOf(i)));
}

/**
 * Integers that look random and are the same in every run.
 *
 * @returns A function of the next integer in [0, limit).
 */
export function randomIntegers(): (limit: number) => number {
  // xorshift32 (G. Marsaglia, 2003).
  let state = 0x9e37_79b9;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  return (limit) => Math.floor((next() / 2 ** 32 + next()) / 2 ** 32 * limit);
}
