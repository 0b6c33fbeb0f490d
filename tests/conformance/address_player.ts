/**
 * The operations on addresses.
 *
 * @module
 */
import { Address, type AnyAddress } from "@vmm/guest-memory";
import { failure, outcomeOf } from "./outcome.ts";
import type { Player } from "./player.ts";
import { guestAddressOf, integer, type Json, type JsonObject } from "./trace.ts";
import { numberOf, type Operation, regionAddressOf } from "./trace.ts";

/** Plays a layout of the kind `address`. */
export class AddressPlayer implements Player {
  /** Performs an operation. */
  play({ name, args: [kind, a, b] }: Operation): JsonObject {
    const operation = OPERATIONS[name];
    if (operation === undefined) return failure(new TypeError(`there is no operation ${name}`));
    // The conversion is part of the operation: it is what refuses a number from 2^53 on.
    return kind === "guest"
      ? outcomeOf(() => operation(guestAddressOf(a), b, guestAddressOf))
      : outcomeOf(() => operation(regionAddressOf(a), b, regionAddressOf));
  }

  /** There are no bitmaps. */
  dirty(): Json {
    return null;
  }

  /** There is no state. */
  end(): JsonObject {
    return {};
  }

  /** Nothing has to be closed. */
  [Symbol.dispose](): void {}
}

type AddressOperation = <A extends AnyAddress>(
  a: A,
  b: Json | undefined,
  addressOf: (json: Json | undefined) => A,
) => Json | void;

const OPERATIONS: Readonly<Record<string, AddressOperation>> = {
  "a.checked_add": (a, b) => Address.checkedAdd(a, numberOf(b)),
  "a.checked_sub": (a, b) => Address.checkedSub(a, numberOf(b)),
  "a.checked_align_up": (a, b) => Address.checkedAlignUp(a, numberOf(b)),
  "a.checked_offset_from": (a, b, addressOf) => Address.checkedOffsetFrom(a, addressOf(b)),
  // The operand of these has to be exact, so it is checked like an address.
  "a.overflowing_add": (a, b, addressOf) => flagged(Address.overflowingAdd(a, addressOf(b))),
  "a.overflowing_sub": (a, b, addressOf) => flagged(Address.overflowingSub(a, addressOf(b))),
  "a.mask": (a, b, addressOf) => Address.mask(a, addressOf(b)),
  "a.and": (a, b, addressOf) => Address.and(a, addressOf(b)),
  "a.or": (a, b, addressOf) => Address.or(a, addressOf(b)),
  "a.cmp": (a, b, addressOf) => Math.sign(a - addressOf(b)),
};

function flagged([address, wrapped]: [number, boolean]): Json {
  return [integer(address), wrapped];
}
