/**
 * What goes wrong when guest memory is accessed. Mirrors the enum `guest_memory::Error`.
 *
 * @module
 */
import type { GuestAddress } from "./address.ts";
import { hex } from "./number_format.ts";

/** Base of every error that an access to guest memory throws. */
export class GuestMemoryError extends Error {
  /** The name of the class. */
  override readonly name: string = "GuestMemoryError";
}

/** The address of the first byte of an access is in no region. */
export class InvalidGuestAddress extends GuestMemoryError {
  /** The name of the class. */
  override readonly name: string = "InvalidGuestAddress";
  /** The address. */
  readonly address: GuestAddress;

  /**
   * Makes the error.
   *
   * @param address The address that is in no region.
   */
  constructor(address: GuestAddress) {
    super(`Cannot access guest address ${hex(address)}: no region holds it`);
    this.address = address;
  }
}

/** A region was asked for bytes that it does not have, or for an atomic that is not aligned. */
export class InvalidBackendAddress extends GuestMemoryError {
  /** The name of the class. */
  override readonly name: string = "InvalidBackendAddress";
}

/** The region has no address in the host: its content is not in host memory. */
export class HostAddressNotAvailable extends GuestMemoryError {
  /** The name of the class. */
  override readonly name: string = "HostAddressNotAvailable";

  /** Makes the error. */
  constructor() {
    super("Cannot take a host address: the region is not backed by host memory at a fixed address");
  }
}

/** The callback of `tryAccess`, or a custom region, claims to have accessed more than was asked. */
export class CallbackOutOfRange extends GuestMemoryError {
  /** The name of the class. */
  override readonly name: string = "CallbackOutOfRange";

  /**
   * Makes the error.
   *
   * @param expected Bytes that were asked for.
   * @param completed Bytes that were claimed.
   */
  constructor(expected: number, completed: number) {
    super(`Cannot go on with an access: of ${expected} bytes, ${completed} were reported done`);
  }
}

/** An access runs past the end of the address space. */
export class GuestAddressOverflow extends GuestMemoryError {
  /** The name of the class. */
  override readonly name: string = "GuestAddressOverflow";

  /** Makes the error. */
  constructor() {
    super("Cannot go on with an access: it runs past the last guest address, 2^53 - 1");
  }
}
