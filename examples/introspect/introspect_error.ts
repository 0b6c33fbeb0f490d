/**
 * What stops the introspection of a guest, and is not a defect of it.
 *
 * @module
 */
import { ExpectedError, reasonToStop } from "../lib/expected_error.ts";

/** A reason to stop that a person can act on: no guest, or one whose memory is not shared. */
export class IntrospectError extends ExpectedError {
  /** The name of the class. */
  override readonly name: string = "IntrospectError";
}

/**
 * One line for the user.
 *
 * @param error What was thrown.
 * @returns The line, or `undefined` where the error is a defect and its stack is wanted.
 */
export function reasonOf(error: unknown): string | undefined {
  if (error instanceof Deno.errors.PermissionDenied) {
    return `${error.message}: only QEMU's user, or root, may look into it`;
  }
  return reasonToStop(error);
}
