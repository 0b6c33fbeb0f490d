/**
 * Why memory cannot be saved to a file, or restored from one.
 *
 * @module
 */
import { nameErrors } from "./name_errors.ts";

/** Base of the errors of snapshots. */
export class SnapshotError extends Error {}

/** A file that cannot take a snapshot, or not this one. Nothing of it was changed. */
export class SnapshotRefused extends SnapshotError {
  /**
   * Makes the error.
   *
   * @param reason Why, in a few words.
   */
  constructor(readonly reason: string) {
    super(`Cannot use the file for a snapshot: ${reason}`);
  }
}

/**
 * Writing a snapshot failed, as where the storage is full. The file is incomplete. The `cause` is the
 * failed call.
 */
export class SnapshotFailed extends SnapshotError {
  /**
   * Makes the error.
   *
   * @param action What was done, as a verb with its object.
   * @param bytes How far it came in the file.
   * @param total Bytes of the whole file.
   * @param cause The failed call.
   */
  constructor(
    action: string,
    readonly bytes: number,
    readonly total: number,
    cause: Error,
  ) {
    super(`Cannot ${action}: it came to byte ${bytes} of ${total}: ${cause.message}`, { cause });
  }
}

/** What differs where a file does not fit. */
export type MismatchedProperty = "length" | "sha256" | "generation" | "regions";

/**
 * A file is another than the one that is needed. If it has another length, it is of other memory, or was
 * never finished: until everything is written, no file of a snapshot has its length. If it has another
 * SHA-256, it was changed. If it is of another generation, it belongs to another snapshot of the guest.
 */
export class SnapshotMismatch extends SnapshotError {
  /**
   * Makes the error.
   *
   * @param what What does not fit.
   * @param expected What its property should be: bytes, a number, or text.
   * @param found What it is.
   * @param property What differs.
   */
  constructor(
    what: string,
    readonly expected: number | string,
    readonly found: number | string,
    readonly property: MismatchedProperty = "length",
  ) {
    super(`Cannot use ${what}: ${differences[property](expected, found)}`);
  }
}

type Difference = (expected: number | string, found: number | string) => string;

const differences: Record<MismatchedProperty, Difference> = {
  length: (expected, found) =>
    `it has ${found} bytes, not ${expected}: it may be unfinished, or of other memory`,
  sha256: (expected, found) => `its SHA-256 is ${found}, not ${expected}: it was changed`,
  generation: (expected, found) =>
    `it belongs to generation ${found} of the guest's memory, not ${expected}: apply diffs in the ` +
    "order in which they were written",
  regions: (expected, found) => `its regions are others: ${found} in place of ${expected}`,
};

/** What is given as a manifest is none, is of another kind of file, or is not for this host. */
export class InvalidManifest extends SnapshotError {
  /**
   * Makes the error.
   *
   * @param reason Why, in a few words.
   */
  constructor(readonly reason: string) {
    super(`Cannot use the manifest: ${reason}`);
  }
}

/** A file is no compact diff, or one that was changed. Nothing of it was applied. */
export class InvalidDiff extends SnapshotError {
  /**
   * Makes the error.
   *
   * @param reason Why, in a few words.
   */
  constructor(readonly reason: string) {
    super(`Cannot use the file as a compact diff: ${reason}`);
  }
}

nameErrors({
  ...{ SnapshotError, SnapshotRefused, SnapshotFailed, SnapshotMismatch },
  ...{ InvalidManifest, InvalidDiff },
});
