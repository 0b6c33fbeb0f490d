import { assertEquals, assertThrows } from "@std/assert";
import {
  asSlice,
  fromSlice,
  GuestAddress,
  guestAddress,
  InvalidGuestAddress,
  u64,
} from "../../mod.ts";

Deno.test("guestAddress is a 64-bit little-endian integer", () => {
  assertEquals([guestAddress.byteLength, guestAddress.alignment], [8, 8]);
  for (const address of [0, 1, 0x1234, 2 ** 32, 2 ** 52 + 1, 2 ** 53 - 1]) {
    const bytes = asSlice(guestAddress, GuestAddress(address));
    assertEquals(bytes, asSlice(u64, BigInt(address)));
    assertEquals(fromSlice(guestAddress, bytes), GuestAddress(address));
  }
});

Deno.test("guestAddress of 2^53 or more is InvalidGuestAddress when it is read", () => {
  for (const value of [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
    const bytes = asSlice(u64, value);
    const error = assertThrows(() => fromSlice(guestAddress, bytes), InvalidGuestAddress);
    assertEquals<number>(error.address, Number(value));
  }
});

Deno.test("guestAddress refuses to write what is no address", () => {
  for (const value of [-1, 0.5, NaN, 2 ** 53] as GuestAddress[]) {
    assertThrows(() => asSlice(guestAddress, value), RangeError, "guest address");
  }
  for (const value of ["1", undefined, null, Symbol("s"), {}] as unknown as GuestAddress[]) {
    assertThrows(() => asSlice(guestAddress, value), TypeError, "as value");
  }
});
