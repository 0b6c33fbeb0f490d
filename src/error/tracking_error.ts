/**
 * Why the kernel cannot report writes to memory.
 *
 * @module
 */
import type { GuestAddress } from "../address.ts";
import { hex } from "../text/number_format.ts";
import { nameErrors } from "./name_errors.ts";

/** Base of the errors of the kernel's own tracking of writes. */
export class TrackingError extends Error {}

/**
 * The kernel cannot track writes here, or not for this user. The `cause` is the failed call. Writes by
 * this library's API are still marked in the bitmaps of the regions.
 */
export class TrackingUnavailable extends TrackingError {
  /**
   * Makes the error.
   *
   * @param reason What is missing, in a few words.
   * @param cause The failed call.
   */
  constructor(readonly reason: string, cause?: unknown) {
    super(`Cannot track writes: ${reason}`, cause === undefined ? undefined : { cause });
  }
}

/** The kernel cannot report the writes to a region of this kind, or somebody else tracks it. */
export class RegionNotTrackable extends TrackingError {
  /**
   * Makes the error.
   *
   * @param startAddr The guest address of the region's first byte.
   * @param reason Why, and what to do, in a few words.
   * @param cause The failed call, where there was one.
   */
  constructor(readonly startAddr: GuestAddress, readonly reason: string, cause?: unknown) {
    super(
      `Cannot track the region at ${hex(startAddr)}: ${reason}`,
      cause === undefined ? undefined : { cause },
    );
  }
}

nameErrors({ TrackingError, TrackingUnavailable, RegionNotTrackable });
