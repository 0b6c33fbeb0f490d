/**
 * What stops a migration, and is not a defect of this program.
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
import { TrackingError } from "@vmm/guest-memory/snapshot";
import { MicrovmError } from "../microvm/microvm_error.ts";

/** A reason to stop that a person can act on. The message says what and where. */
export class MigrateError extends Error {
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

const EXPECTED = [
  MigrateError,
  MicrovmError,
  SystemError,
  LibcUnavailable,
  GuestMemoryError,
  GuestRegionCollectionError,
  MmapRegionError,
  TrackingError,
  Deno.errors.NotCapable,
];

/**
 * One line for the user who started the program.
 *
 * @param error What was thrown.
 * @returns The line, or `undefined` where the error is a defect and its stack is wanted.
 */
export function reasonOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  // What the system refuses to Deno, such as to start a process, carries its errno's name.
  const isExpected = EXPECTED.some((kind) => error instanceof kind) || "code" in error;
  return isExpected ? error.message.replaceAll(/\s*\n\s*/g, " ") : undefined;
}
