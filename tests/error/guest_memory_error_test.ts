import { assert, assertEquals } from "@std/assert";
import {
  AddressSpaceLocked,
  CallbackOutOfRange,
  GuestAddress,
  GuestAddressOverflow,
  GuestMemoryError,
  HostAddressNotAvailable,
  InvalidGuestAddress,
  IommuError,
  VolatileMemoryError,
} from "../../mod.ts";

Deno.test("GuestMemoryError is the base of all that an access throws", () => {
  for (
    const error of [
      new InvalidGuestAddress(GuestAddress(1)),
      new HostAddressNotAvailable(),
      new CallbackOutOfRange(1, 2),
      new GuestAddressOverflow(),
      new AddressSpaceLocked(0),
      new IommuError(),
      new VolatileMemoryError(),
    ]
  ) {
    assert(error instanceof GuestMemoryError, error.name);
    assert(error instanceof Error, error.name);
  }
});

Deno.test("InvalidGuestAddress has the address, rounded where it is no number", () => {
  const error = new InvalidGuestAddress(GuestAddress(0x1234));
  assertEquals(error.address, GuestAddress(0x1234));
  assertEquals(error.message, "Cannot access guest address 0x1234: no region contains it");
  const large = new InvalidGuestAddress(2n ** 64n - 1n);
  assertEquals(large.address as number, 2 ** 64);
  assertEquals(
    large.message,
    "Cannot access guest address 0xffffffffffffffff: no region contains it",
  );
});

Deno.test("HostAddressNotAvailable, CallbackOutOfRange and GuestAddressOverflow say why", () => {
  assertEquals(
    [
      new HostAddressNotAvailable().message,
      new CallbackOutOfRange(16, 17).message,
      new GuestAddressOverflow().message,
    ],
    [
      "Cannot access host memory: the region has none at a fixed address, use read and write",
      "Cannot continue an access: of 16 bytes, 17 were reported done",
      "Cannot continue an access: it runs past the last guest address, 2^53 - 1",
    ],
  );
});

Deno.test("AddressSpaceLocked says who waits, and what to do", () => {
  const error = new AddressSpaceLocked(2);
  assertEquals(
    [error.waiting, error.message],
    [
      2,
      "Cannot lock the address space without waiting: its lock is taken on this thread, and 2 " +
      "wait for it; await lock(), or close the guard that has it first",
    ],
  );
});
