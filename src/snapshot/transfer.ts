/**
 * Long transfers in pieces, with a pause after each.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { writeAt } from "../../ffi/io.ts";
import { SystemError } from "../../ffi/system_error.ts";
import { SnapshotFailed } from "../error/snapshot_error.ts";
import { checkFlag, wrongKind } from "../text/argument.ts";

/** How far a transfer is. */
export interface TransferProgress {
  /** Up to which byte. */
  readonly bytes: number;
  /** Bytes of the file; twice as many if it is read again, for its SHA-256. */
  readonly total: number;
}

/** How files are written. */
export interface TransferOptions {
  /** Called after each piece of up to 16 MiB. What it throws ends the transfer. */
  readonly onProgress?: (progress: TransferProgress) => void;
  /** Ends the transfer between two pieces, with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * Whether to wait until the storage has what was written: `fdatasync(2)`. False by default: after a
   * loss of power, a file may have its length then, though not its content.
   */
  readonly sync?: boolean;
}

/** Bytes of a piece, at most: a few milliseconds. */
export const PIECE: number = 2 ** 24;

/** Options as they were read from the caller, once. */
export interface TransferPlan {
  readonly onProgress: ((progress: TransferProgress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
  readonly sync: boolean;
}

/** @throws {TypeError} An option is of another kind. */
export function readTransferOptions(options: TransferOptions): TransferPlan {
  const { onProgress, signal, sync = false } = options;
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw wrongKind("onProgress", onProgress, "a function");
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw wrongKind("signal", signal, "an AbortSignal");
  }
  checkFlag("sync", sync);
  return { onProgress, signal, sync };
}

/** A file that is written, and what was written to it. */
export class Output {
  /** Bytes that were written. */
  written = 0;
  /** Where the last of them is in the file. */
  position = 0;

  /**
   * Begins with nothing.
   *
   * @param fd The descriptor of the file.
   */
  constructor(readonly fd: number) {}

  /**
   * Writes memory, all of it, now or when {@linkcode Output.flush} is called.
   *
   * @param address The host address of its first byte.
   * @param length Its bytes.
   * @param position Where it begins in the file.
   * @throws {SystemError} The call failed.
   */
  write(address: number, length: number, position: number): void {
    for (let done = 0; done < length;) {
      const at = position + done;
      done += this.add(writeAt(this.fd, address + done, length - done, at), at);
    }
  }

  /** Returns when all is written: from then on, the memory may change. */
  flush(): void {}

  /** Counts bytes that were written from a position on. */
  add(count: number, position: number): number {
    this.written += count;
    this.position = position + count;
    return count;
  }
}

/**
 * Makes a transfer.
 *
 * @param action What it does, for errors: a verb with its object.
 * @param plan How.
 * @param total Bytes of the file.
 * @param output What is written.
 * @param pieces Makes a piece at each step, and says up to which byte it came.
 * @param steps What progress is reported of, if it is more than the file.
 * @throws {SnapshotFailed} A call of a piece failed.
 */
export async function transfer(
  action: string,
  { onProgress, signal }: TransferPlan,
  total: number,
  output: Output,
  pieces: Generator<number, void, void>,
  steps: number = total,
): Promise<void> {
  try {
    for (;;) {
      signal?.throwIfAborted();
      const bytes = next(pieces);
      if (bytes === undefined) return;
      onProgress?.({ bytes, total: steps });
      // Waits for the event loop, in which a signal may be raised.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    throw new SnapshotFailed(action, output.position, total, error.reason);
  } finally {
    pieces.return();
  }
}

// Of the transfer itself: callbacks may throw system errors too.
class StepFailed {
  constructor(readonly reason: SystemError) {}
}

function next(pieces: Generator<number, void, void>): number | undefined {
  try {
    return pieces.next().value ?? undefined;
  } catch (error) {
    throw error instanceof SystemError ? new StepFailed(error) : error;
  }
}
