/**
 * Why pages cannot be loaded when they are touched.
 *
 * @module
 */
import type { GuestAddress } from "../address.ts";
import { hex } from "../text/number_format.ts";
import { nameErrors } from "./name_errors.ts";
import { SnapshotError } from "./snapshot_error.ts";

/** The kernel does not let this process handle page faults. The `cause` is the failed call. */
export class FaultsUnavailable extends SnapshotError {
  /**
   * Makes the error.
   *
   * @param reason What is missing, and what to do, in a few words.
   * @param cause The failed call.
   */
  constructor(readonly reason: string, cause?: unknown) {
    super(
      `Cannot handle page faults: ${reason}`,
      cause === undefined ? undefined : { cause },
    );
  }
}

/** A page of a snapshot cannot be loaded. Threads that touch it wait. */
export class PageLoadFailed extends SnapshotError {
  /**
   * Makes the error.
   *
   * @param position Where the page is in the file.
   * @param reason Why, in a few words.
   */
  constructor(readonly position: number, readonly reason: string) {
    super(
      `Cannot load the page at byte ${position} of the snapshot: ${reason}. Who touches it waits: ` +
        "mend the file, or restart() with another",
    );
  }
}

/** Memory is not, or no more, loaded by this thread. */
export class NotRestoring extends SnapshotError {
  /**
   * Makes the error.
   *
   * @param reason Why, in a few words.
   */
  constructor(readonly reason: string) {
    super(`Cannot find a handler of faults: ${reason}`);
  }
}

/** Pages of memory are still to be loaded, and would be missing in a snapshot. */
export class RestoreUnfinished extends SnapshotError {
  /**
   * Makes the error.
   *
   * @param startAddr The guest address of the first byte of a region that is not loaded.
   */
  constructor(readonly startAddr: GuestAddress) {
    super(
      `Cannot write a snapshot: the region at ${hex(startAddr)} is still being loaded, wait for ` +
        "FaultHandler.of(memory).done, after restart() where another process loads it",
    );
  }
}

nameErrors({ FaultsUnavailable, PageLoadFailed, NotRestoring, RestoreUnfinished });
