/**
 * What stops the comparison, or a row of it, and is not a defect.
 *
 * @module
 */
import { LibcUnavailable, MmapRegionError, OptionRefused, SystemError } from "@vmm/guest-memory";

/** A reason to stop that a person can act on: a wrong argument, too little memory. */
export class BackingsError extends Error {
  /** The name of the class. */
  override readonly name: string = "BackingsError";
}

/**
 * Why a backing or an option cannot be had, in a few words.
 *
 * @param error What was thrown.
 * @returns The reason, or `undefined` where the error is a defect and its stack is wanted.
 */
export function reasonOf(error: unknown): string | undefined {
  if (error instanceof OptionRefused) return error.reason;
  if (error instanceof SystemError) return `${error.call} failed with ${error.code}`;
  const isExpected = error instanceof BackingsError || error instanceof MmapRegionError ||
    error instanceof LibcUnavailable || error instanceof Deno.errors.NotCapable ||
    // What the system refuses to Deno, such as to write to a full disk, carries its errno's name.
    error instanceof Error && "code" in error;
  return isExpected ? error.message.replaceAll(/\s*\n\s*/g, " ") : undefined;
}
