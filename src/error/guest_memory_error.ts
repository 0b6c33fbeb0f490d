/**
 * What goes wrong when guest memory is accessed. Mirrors the enum `guest_memory::Error`.
 *
 * @module
 */
import { nameErrors } from "./name_errors.ts";
import type { GuestAddress } from "../address.ts";
import { hex } from "../text/number_format.ts";

/** Base of every error that an access to guest memory throws. */
export class GuestMemoryError extends Error {}

/**
 * The address of the first byte of an access is in no region; or a guest's 64-bit number is 2^53 or
 * more, and so no address: see the codec {@linkcode guestAddress}.
 */
export class InvalidGuestAddress extends GuestMemoryError {
  /** The address; rounded where it is 2^53 or more. */
  readonly address: GuestAddress;

  /**
   * Makes the error.
   *
   * @param address The address.
   */
  constructor(address: GuestAddress | bigint) {
    super(`Cannot access guest address ${hex(address)}: no region contains it`);
    this.address = Number(address) as GuestAddress;
  }
}

/** The region has no address in the host: its content is not in host memory. */
export class HostAddressNotAvailable extends GuestMemoryError {
  /** Makes the error. */
  constructor() {
    super("Cannot access host memory: the region has none at a fixed address, use read and write");
  }
}

/** The callback of `tryAccess`, or a custom region, claims to have accessed more than was asked. */
export class CallbackOutOfRange extends GuestMemoryError {
  /**
   * Makes the error.
   *
   * @param expected Bytes that were asked for.
   * @param completed Bytes that were claimed.
   */
  constructor(expected: number, completed: number) {
    super(`Cannot continue an access: of ${expected} bytes, ${completed} were reported done`);
  }
}

/** An access runs past the end of the address space. */
export class GuestAddressOverflow extends GuestMemoryError {
  /** Makes the error. */
  constructor() {
    super("Cannot continue an access: it runs past the last guest address, 2^53 - 1");
  }
}

/**
 * The right to replace a map of regions is taken, and this thread cannot wait for it: who has it
 * runs on this thread too. In Rust `lock` blocks until another thread gives it back.
 */
export class AddressSpaceLocked extends GuestMemoryError {
  /**
   * Makes the error.
   *
   * @param waiting How many calls of `lock()` wait for the right.
   */
  constructor(readonly waiting: number) {
    super(
      `Cannot lock the address space without waiting: its lock is taken on this thread, and ` +
        `${waiting} wait for it; await lock(), or close the guard that has it first`,
    );
  }
}

nameErrors({
  GuestMemoryError,
  InvalidGuestAddress,
  HostAddressNotAvailable,
  CallbackOutOfRange,
  GuestAddressOverflow,
  AddressSpaceLocked,
});
