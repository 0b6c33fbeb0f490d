/**
 * What stops a virtual machine, or keeps it from starting, and is not a defect of this program.
 *
 * @module
 */
import { ExpectedError } from "../lib/expected_error.ts";

/** A reason to stop that a person can act on. The message says what and where. */
export class MicrovmError extends ExpectedError {
  /** The name of the class. */
  override readonly name: string = "MicrovmError";
}
