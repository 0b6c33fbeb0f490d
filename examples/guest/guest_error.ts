/**
 * What stops the guest, and is not a defect of this program.
 *
 * @module
 */
import { ExpectedError } from "../lib/expected_error.ts";

/** A reason to stop that a person can act on. The message says what and where. */
export class GuestError extends ExpectedError {
  /** The name of the class. */
  override readonly name: string = "GuestError";
}

/** What the guest consists of cannot be had on this machine. */
export class NotProvided extends GuestError {
  /** The name of the class. */
  override readonly name: string = "NotProvided";
}

/** A check does not apply here. */
export class Skipped extends GuestError {
  /** The name of the class. */
  override readonly name: string = "Skipped";
}
