/**
 * What stops a program and is not a defect of it.
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
export class ExpectedError extends Error {
  /** The name of the class. */
  override readonly name: string = "ExpectedError";
}

/** The arguments make no sense. Programs end with exit status 2. */
export class UsageError extends ExpectedError {
  /** The name of the class. */
  override readonly name: string = "UsageError";

  /**
   * Makes the error.
   *
   * @param problem What is wrong, as the part of a sentence.
   */
  constructor(problem: string) {
    super(`${problem} (see --help)`);
  }
}

type ErrorClass = abstract new (...args: never[]) => Error;

const EXPECTED: readonly ErrorClass[] = [
  ExpectedError,
  SystemError,
  LibcUnavailable,
  GuestMemoryError,
  GuestRegionCollectionError,
  MmapRegionError,
  Deno.errors.NotCapable,
];

/**
 * One line for the person who started a program.
 *
 * @param error What was thrown.
 * @param others Classes of errors that the program expects beside its own and those of memory.
 * @returns The line, or `undefined` where the error is a defect and its stack is wanted.
 */
export function reasonToStop(error: unknown, ...others: readonly ErrorClass[]): string | undefined {
  if (!(error instanceof Error)) return undefined;
  // What the system refuses to Deno, such as to write to a full disk, carries its errno's name.
  const isExpected = "code" in error ||
    [...EXPECTED, ...others].some((kind) => error instanceof kind);
  return isExpected ? error.message.replaceAll(/\s*\n\s*/g, " ") : undefined;
}
