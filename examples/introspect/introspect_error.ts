/**
 * What stops the introspection of a guest, and is not a defect of it.
 *
 * @module
 */
import { GuestMemoryError, LibcUnavailable, MmapRegionError, SystemError } from "@vmm/guest-memory";

/** A reason to stop that a person can act on: no guest, or one whose memory is not shared. */
export class IntrospectError extends Error {
  /** The name of the class. */
  override readonly name: string = "IntrospectError";
}

/**
 * One line for the user.
 *
 * @param error What was thrown.
 * @returns The line, or `undefined` where the error is a defect and its stack is wanted.
 */
export function reasonToStop(error: unknown): string | undefined {
  if (error instanceof Deno.errors.PermissionDenied) {
    return `${error.message}: only QEMU's user, or root, may look into it`;
  }
  const isExpected = error instanceof IntrospectError || error instanceof LibcUnavailable ||
    error instanceof SystemError || error instanceof MmapRegionError ||
    error instanceof GuestMemoryError || error instanceof Deno.errors.NotCapable ||
    // What the system refuses to Deno, such as the memory of another user's process.
    error instanceof Error && "code" in error;
  return isExpected ? error.message.replaceAll(/\s*\n\s*/g, " ") : undefined;
}
