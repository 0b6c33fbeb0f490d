/**
 * What stops a virtual machine, or keeps it from starting, and is not a defect of this program.
 *
 * @module
 */
import {
  GuestMemoryError,
  GuestRegionCollectionError,
  LibcUnavailable,
  MmapRegionError,
  SystemError,
} from "@vmm/guest-memory";

/** A reason to stop that a person can act on. The message says what and where. */
export class MicrovmError extends Error {
  /** The name of the class. */
  override readonly name: string = "MicrovmError";
}

const EXPECTED = [
  MicrovmError,
  SystemError,
  LibcUnavailable,
  GuestMemoryError,
  GuestRegionCollectionError,
  MmapRegionError,
  Deno.errors.NotCapable,
];

/**
 * One line for the user who started the program.
 *
 * @param error What was thrown.
 * @returns The line, or `undefined` where the error is a defect and its stack is wanted.
 */
export function reasonToStop(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  // What the system refuses to Deno, such as to read a file, carries its errno's name.
  const isExpected = EXPECTED.some((kind) => error instanceof kind) || "code" in error;
  return isExpected ? error.message.replaceAll(/\s*\n\s*/g, " ") : undefined;
}
