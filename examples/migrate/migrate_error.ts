/**
 * What stops a migration, and is not a defect of this program.
 *
 * @module
 */
import { TrackingError } from "@vmm/guest-memory/snapshot";
import { ExpectedError, reasonToStop } from "../lib/expected_error.ts";

/** A reason to stop that a person can act on. The message says what and where. */
export class MigrateError extends ExpectedError {
  /** The name of the class. */
  override readonly name: string = "MigrateError";
}

/** The other side has ended, or has been silent for too long. */
export class PeerLost extends MigrateError {
  /** The name of the class. */
  override readonly name: string = "PeerLost";
}

/** The other side sent what the format does not allow. */
export class WrongFormat extends MigrateError {
  /** The name of the class. */
  override readonly name: string = "WrongFormat";
}

/**
 * One line for the user who started the program.
 *
 * @param error What was thrown.
 * @returns The line, or `undefined` where the error is a defect and its stack is wanted.
 */
export function reasonOf(error: unknown): string | undefined {
  return reasonToStop(error, TrackingError);
}
