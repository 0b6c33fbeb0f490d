/**
 * What stops the demo and is not a defect of it.
 *
 * @module
 */
import { GuestMemoryError, LibcUnavailable, SystemError } from "@vmm/guest-memory";

/** A reason to stop that a person can act on: a wrong argument, a file that cannot be loaded. */
export class DemoError extends Error {
  /** The name of the class. */
  override readonly name: string = "DemoError";
}

/**
 * One line for the user of the demo.
 *
 * @param error What was thrown.
 * @returns The line, or `undefined` where the error is a defect and its stack is wanted.
 */
export function reasonToStop(error: unknown): string | undefined {
  const isExpected = error instanceof DemoError || error instanceof LibcUnavailable ||
    error instanceof SystemError || error instanceof GuestMemoryError ||
    // What the system refuses to Deno, such as to write to a full disk, carries its errno's name.
    error instanceof Error && "code" in error;
  return isExpected ? error.message.replaceAll(/\s*\n\s*/g, " ") : undefined;
}
