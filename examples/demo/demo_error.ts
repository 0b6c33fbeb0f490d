/**
 * What stops the demo and is not a defect of it.
 *
 * @module
 */
import { ExpectedError } from "../lib/expected_error.ts";

/** A reason to stop that a person can act on: a wrong argument, a file that cannot be loaded. */
export class DemoError extends ExpectedError {
  /** The name of the class. */
  override readonly name: string = "DemoError";
}
