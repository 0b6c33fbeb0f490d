/**
 * What stops the guest, and is not a defect of this program.
 *
 * @module
 */

/** A reason to stop that a person can act on. The message says what and where. */
export class GuestError extends Error {
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

/**
 * One line for the user who started the program.
 *
 * @param error What was thrown.
 * @returns The line, or `undefined` where the error is a defect and its stack is wanted.
 */
export function reasonOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  // What the system refuses to Deno carries its errno's name.
  const isExpected = error instanceof GuestError || "code" in error;
  return isExpected ? error.message.replaceAll(/\s*\n\s*/g, " ") : undefined;
}
