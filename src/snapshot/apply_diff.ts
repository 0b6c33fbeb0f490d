/**
 * Brings a snapshot up to date.
 *
 * @module
 */
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { fileStatus } from "../../ffi/file.ts";
import { reopenFile } from "../../ffi/file_lease.ts";
import { canCopyRanges, copyRange, forDataRuns } from "../../ffi/file_space.ts";
import { readAt } from "../../ffi/io.ts";
import { SystemError } from "../../ffi/system_error.ts";
import { FileOffset } from "../backend/mmap/file_offset.ts";
import { SnapshotMismatch, SnapshotRefused } from "../error/snapshot_error.ts";
import { type CompactDiff, readHead } from "./compact_diff.ts";
import { readForm } from "./diff_form.ts";
import { HeldBuffer } from "./held_buffer.ts";
import { TargetFile } from "./target_file.ts";
import { Output, PIECE, readTransferOptions, transfer } from "./transfer.ts";
import type { DiffOptions } from "./write_diff.ts";
import type { SnapshotReport } from "./write_snapshot.ts";

/**
 * Copies what a diff has into a snapshot. Linux only: elsewhere holes are not known.
 *
 * The form has to be that in which the diff was written: the file of a flat diff has the bytes of the
 * guest, which may look like any other file. Of a flat diff all is copied that is no hole, within a file
 * system by the kernel itself (`copy_file_range(2)`). A compact diff is checked before anything is
 * applied; it may come from elsewhere.
 *
 * If it fails, is aborted, or the process is killed, the snapshot has a part of the diff. It has
 * another length then, so that {@linkcode restore} refuses it, until the same diff is applied again.
 *
 * @param base The snapshot: a regular file, open to write. No memory may map it, or it has the changes.
 * @param diff What {@linkcode writeDiff} wrote, flat ones with their holes: a regular file, open to read.
 * @param options How, with the form of the diff.
 * @returns Bytes of the files, and bytes that were copied.
 * @throws {SnapshotMismatch} The files differ in their length, from the start or meanwhile: one was
 * never finished, perhaps.
 * @throws {InvalidDiff} It is no compact diff, or one that was changed.
 * @throws {SnapshotRefused} A file cannot be used, or both are the same.
 * @throws {SnapshotFailed} A call failed: the storage is full, perhaps.
 * @throws The reason of the signal.
 */
export async function applyDiff(
  base: Deno.FsFile | number,
  diff: Deno.FsFile | number,
  options: DiffOptions = {},
): Promise<SnapshotReport> {
  const form = readForm(options);
  const plan = readTransferOptions(options);
  plan.signal?.throwIfAborted();
  using target = new TargetFile(base);
  using source = new SourceFile(diff);
  const [to, from] = [target.status, fileStatus(source.fd)];
  if (to.device === from.device && to.inode === from.inode) {
    throw new SnapshotRefused("base and diff are the same");
  }
  const compact = form === "compact" ? readHead(source.fd, from.size) : undefined;
  const length = compact?.length ?? from.size;
  if (to.size !== length && !TargetFile.isUnfinishedUpdate(to.size, length)) {
    throw new SnapshotMismatch("the diff", to.size, length);
  }
  const output = new Output(target.fd);
  await transfer("apply the diff", plan, length, output, pieces());
  return { bytes: length, written: output.written };

  function* pieces(): Generator<number, void, void> {
    target.beginUpdate(length, plan.sync);
    if (compact === undefined) yield* copyParts(source.fd, output, length);
    else yield* copyRuns(source.fd, output, compact);
    // What was cut off meanwhile looks like holes.
    ensureLength(source.fd, from.size);
    yield length;
    target.finish(plan.sync);
  }
}

// Of the file whose parts are listed in one go.
const WINDOW = 2 ** 30;

/** A file that is read, with a position that nobody else needs. */
class SourceFile implements Disposable {
  readonly fd: number;

  constructor(file: Deno.FsFile | number) {
    const { fd } = new FileOffset(file);
    if (!fileStatus(fd).isRegular) throw new SnapshotRefused("it is no regular file");
    this.fd = reopenFile(fd);
  }

  [Symbol.dispose](): void {
    closeDescriptor(this.fd);
  }
}

function ensureLength(diff: number, length: number): void {
  const { size } = fileStatus(diff);
  if (size !== length) throw new SnapshotMismatch("the diff", length, size);
}

// Copies what is no hole of a file.
function* copyParts(from: number, output: Output, length: number): Generator<number, void, void> {
  using copy = new Copier(from, output);
  let room = PIECE;
  for (let start = 0; start < length; start += WINDOW) {
    const runs: [number, number][] = [];
    forDataRuns(from, start, Math.min(start + WINDOW, length), (...run) => runs.push(run));
    for (const [first, count] of runs) {
      for (let at = first; at < first + count;) {
        const done = copy.once(at, Math.min(first + count - at, room));
        if (done === 0) ensureLength(from, length);
        at += done;
        room -= done;
        if (room > 0) continue;
        room = PIECE;
        yield at;
      }
    }
  }
}

// Copies the runs of a compact diff. Many are read in a call; each is written by one, which takes less
// than copying it within the kernel.
function* copyRuns(
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
    if (count === 0) ensureLength(from, fileLength);
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
