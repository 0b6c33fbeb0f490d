/**
 * Brings a snapshot up to date.
 *
 * @module
 */
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { fileStatus } from "../../ffi/file.ts";
import { reopenFile } from "../../ffi/file_lease.ts";
import { canCopyRanges, copyRange, forDataRuns } from "../../ffi/file_space.ts";
import { addressOf, readAt } from "../../ffi/io.ts";
import { SystemError } from "../../ffi/system_error.ts";
import { FileOffset } from "../backend/mmap/file_offset.ts";
import { SnapshotMismatch, SnapshotRefused } from "../error/snapshot_error.ts";
import { TargetFile } from "./target_file.ts";
import { Output, PIECE, readTransferOptions, transfer, type TransferOptions } from "./transfer.ts";
import type { SnapshotReport } from "./write_snapshot.ts";

/**
 * Copies what a diff has into a snapshot: all that is no hole. Within a file system, the kernel copies
 * by itself (`copy_file_range(2)`). Linux only: elsewhere holes are not known.
 *
 * If it fails, is aborted, or the process is killed, the snapshot has a part of the diff. It has
 * another length then, so that {@linkcode restore} refuses it, until the same diff is applied again.
 *
 * @param base The snapshot: a regular file, open to write. No memory may map it, or it has the changes.
 * @param diff What {@linkcode writeDiff} wrote, with its holes: a regular file, open to read.
 * @param options How.
 * @returns Bytes of the files, and bytes that were copied.
 * @throws {SnapshotMismatch} The files differ in their length, from the start or meanwhile: one was
 * never finished, perhaps.
 * @throws {SnapshotRefused} A file cannot be used, or both are the same.
 * @throws {SnapshotFailed} A call failed: the storage is full, perhaps.
 * @throws The reason of the signal.
 */
export async function applyDiff(
  base: Deno.FsFile | number,
  diff: Deno.FsFile | number,
  options: TransferOptions = {},
): Promise<SnapshotReport> {
  const plan = readTransferOptions(options);
  plan.signal?.throwIfAborted();
  using target = new TargetFile(base);
  using source = new SourceFile(diff);
  const [to, from] = [target.status, fileStatus(source.fd)];
  if (to.device === from.device && to.inode === from.inode) {
    throw new SnapshotRefused("base and diff are the same");
  }
  const length = from.size;
  if (to.size !== length && !TargetFile.isUnfinishedUpdate(to.size, length)) {
    throw new SnapshotMismatch("the diff", to.size, length);
  }
  const output = new Output(target.fd);
  const copy = new Copier(source.fd, output);
  await transfer("apply the diff", plan, length, output, pieces());
  return { bytes: length, written: output.written };

  function* pieces(): Generator<number, void, void> {
    let room = PIECE;
    target.beginUpdate(length, plan.sync);
    for (let start = 0; start < length; start += WINDOW) {
      const runs: [number, number][] = [];
      const end = Math.min(start + WINDOW, length);
      forDataRuns(source.fd, start, end, (...run) => runs.push(run));
      for (const [first, length] of runs) {
        for (let at = first; at < first + length;) {
          const count = copy.once(at, Math.min(first + length - at, room));
          if (count === 0) throw mismatch();
          at += count;
          room -= count;
          if (room > 0) continue;
          room = PIECE;
          yield at;
        }
      }
    }
    // What was cut off meanwhile looks like holes.
    if (fileStatus(source.fd).size !== length) throw mismatch();
    yield length;
    target.finish(plan.sync);
  }

  function mismatch(): SnapshotMismatch {
    return new SnapshotMismatch("the diff", length, fileStatus(source.fd).size);
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

class Copier {
  #inKernel = canCopyRanges();
  #buffer: Uint8Array | undefined;

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
    const buffer = this.#buffer ??= new Uint8Array(BUFFER);
    const address = addressOf(buffer);
    const count = readAt(from, address, Math.min(length, buffer.length), position);
    output.write(address, count, position);
    return count;
  }
}

const BUFFER = 2 ** 20;
const CANNOT = ["EXDEV", "EOPNOTSUPP", "ENOSYS", "EINVAL", "ENOTSUP"];
