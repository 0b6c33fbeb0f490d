/**
 * What stops the program, or a handshake, and is not a defect.
 *
 * @module
 */
import { SnapshotError } from "@vmm/guest-memory/snapshot";
import { ExpectedError, reasonToStop } from "../lib/expected_error.ts";

/** A reason to stop that a person can act on. */
export class UffdError extends ExpectedError {
  /** The name of the class. */
  override readonly name: string = "UffdError";
}

/** What a VMM sent is no handshake, or one that cannot be served. */
export class HandshakeRefused extends UffdError {
  /** The name of the class. */
  override readonly name: string = "HandshakeRefused";

  /**
   * Makes the error.
   *
   * @param reason Why, in a few words.
   * @param cause What was thrown, if anything.
   */
  constructor(readonly reason: string, cause?: unknown) {
    super(`Cannot serve this VMM: ${reason}`, cause === undefined ? undefined : { cause });
  }
}

/**
 * Why the program cannot go on, in a line.
 *
 * @param error What was thrown.
 * @returns The reason, or `undefined` where the error is a defect and its stack is wanted.
 */
export function reasonOf(error: unknown): string | undefined {
  return reasonToStop(error, SnapshotError);
}
