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

/**
 * A file has another length than the ranges or the base: it is of other memory, or was never finished.
 * Until everything is written, no file of a snapshot has its length.
 */
export class SnapshotMismatch extends SnapshotError {
  /**
   * Makes the error.
   *
   * @param what What does not fit, and to what.
   * @param expected Bytes that the file should have.
   * @param found Bytes that it has.
   */
  constructor(what: string, readonly expected: number, readonly found: number) {
    super(
      `Cannot use ${what}: it has ${found} bytes, not ${expected}: it may be unfinished, ` +
        "or of other memory",
    );
  }
}

/** What is given as the manifest of a snapshot is none, or not for this host. */
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
