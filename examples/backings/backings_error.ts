/**
 * What stops the comparison, or a row of it, and is not a defect.
 *
 * @module
 */
import { OptionRefused, SystemError } from "@vmm/guest-memory";
import { ExpectedError, reasonToStop } from "../lib/expected_error.ts";

/** A reason to stop that a person can act on: a wrong argument, too little memory. */
export class BackingsError extends ExpectedError {
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
  return reasonToStop(error);
}
