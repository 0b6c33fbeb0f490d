/**
 * The content of diffs, on its way to a snapshot.
 *
 * @module
 */
import { canCopyRanges, copyRange, DataRuns } from "../../ffi/file_space.ts";
import { readAt } from "../../ffi/io.ts";
import { SystemError } from "../../ffi/system_error.ts";
import type { CompactDiff } from "./compact_diff.ts";
import { HeldBuffer } from "./held_buffer.ts";
import { type Output, PIECE } from "./transfer.ts";
import { ensureLength } from "./source_file.ts";

/**
 * Copies a flat diff: what is no hole.
 *
 * @param from The descriptor of the diff, whose position nobody else needs.
 * @param output The snapshot.
 * @param length Bytes of both.
 * @returns Up to which byte it came, after each piece.
 * @throws {SnapshotMismatch} The diff ends before.
 */
export function* copyParts(
  from: number,
  output: Output,
  length: number,
): Generator<number, void, void> {
  using copy = new Copier(from, output);
  const data = new DataRuns(from);
  let room = PIECE;
  for (let start = 0; start < length; start += WINDOW) {
    const runs: [number, number][] = [];
    data.forEach(start, Math.min(start + WINDOW, length), (...run) => runs.push(run));
    for (const [first, count] of runs) {
      for (let at = first; at < first + count;) {
        const done = copy.once(at, Math.min(first + count - at, room));
        if (done === 0) ensureLength("the diff", from, length);
        at += done;
        room -= done;
        if (room > 0) continue;
        room = PIECE;
        yield at;
      }
    }
  }
}

/**
 * Copies a compact diff. Many runs are read in a call. Each is written by one: where runs are single
 * pages this is faster than copying each within the kernel, and about as fast where they are long.
 *
 * @param from The descriptor of the diff.
 * @param output The snapshot.
 * @param diff What the diff says.
 * @returns Up to which byte it came, after each piece.
 * @throws {SnapshotMismatch} The diff ends before.
 */
export function* copyRuns(
  from: number,
  output: Output,
  { runs, dataStart, fileLength }: CompactDiff,
): Generator<number, void, void> {
  using buffer = new HeldBuffer(BUFFER);
  const { address } = buffer;
  let run = 0;
  let at = runs[0]!;
  let room = PIECE;
  for (let position = dataStart; position < fileLength;) {
    const count = readAt(from, address, Math.min(BUFFER, fileLength - position), position);
    if (count === 0) ensureLength("the diff", from, fileLength);
    position += count;
    for (let done = 0; done < count;) {
      const length = Math.min(count - done, runs[run + 1]! - at);
      output.write(address + done, length, at);
      done += length;
      at += length;
      if (at === runs[run + 1]) at = runs[run += 2]!;
    }
    room -= count;
    if (room > 0) continue;
    room = PIECE;
    yield output.position;
  }
}

// Of the file whose parts are listed in one go.
const WINDOW = 2 ** 30;

class Copier implements Disposable {
  #inKernel = canCopyRanges();
  #buffer: HeldBuffer | undefined;

  constructor(readonly from: number, readonly output: Output) {}

  // Copies up to some bytes from a position on, and returns how many.
  once(position: number, length: number): number {
    const { from, output } = this;
    if (this.#inKernel) {
      try {
        return output.add(copyRange(from, output.fd, position, length), position);
      } catch (error) {
        if (!(error instanceof SystemError && CANNOT.includes(error.code))) throw error;
        this.#inKernel = false;
      }
    }
    const { address } = this.#buffer ??= new HeldBuffer(BUFFER);
    const count = readAt(from, address, Math.min(length, BUFFER), position);
    output.write(address, count, position);
    return count;
  }

  [Symbol.dispose](): void {
    this.#buffer?.[Symbol.dispose]();
  }
}

const BUFFER = 2 ** 20;
const CANNOT = ["EXDEV", "EOPNOTSUPP", "ENOSYS", "EINVAL", "ENOTSUP"];
