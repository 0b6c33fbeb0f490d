/**
 * Loading the pages of another process's memory.
 *
 * @module
 */
import { duplicate } from "../../../ffi/descriptor.ts";
import { fileStatus } from "../../../ffi/file.ts";
import { pageSize } from "../../../ffi/memory.ts";
import { FileOffset } from "../../backend/mmap/file_offset.ts";
import { checkDescriptor, OwnedDescriptor } from "../../backend/mmap/owned_descriptor.ts";
import { SnapshotMismatch } from "../../error/snapshot_error.ts";
import { MemoryClosed } from "../../error/volatile_memory_error.ts";
import { checkCount, wrongKind } from "../../text/argument.ts";
import type { TransferProgress } from "../transfer.ts";
import type { FaultRange } from "./fault_handler.ts";
import { ensureLength, Loading, type LoadOptions, readLoadOptions } from "./loading.ts";
import type { LoadedRange } from "./page_loader.ts";

/**
 * Loads the pages of memory of another process when they are touched there: of a VMM that hands its
 * page faults to a process of its own, as Firecracker does, or of {@linkcode restore} with the option
 * `thread: false`. A thread of this library serves, and loads all other pages in between.
 *
 * The memory's process keeps the descriptor too: should this process end, whoever touches a page waits
 * until another one serves.
 */
export class FaultServer implements Disposable {
  readonly #userfaultfd: OwnedDescriptor;
  readonly #loading: Loading;

  /**
   * Begins to serve.
   *
   * @param fd The descriptor that the other process has made by `userfaultfd(2)` and sent, such as
   * {@linkcode FaultHandler.fd}. It may be closed afterwards.
   * @param ranges Its memory.
   * @param file The snapshot: a regular file, open to read. It may be closed afterwards.
   * @param options How.
   * @throws {TypeError} A range or an option is of a wrong kind.
   * @throws {RangeError} A number of a range is no integer from 0, or of no whole pages; or two ranges
   * have bytes in common, in memory or in the file.
   * @throws {SnapshotMismatch} The file ends before a range does.
   * @throws {SnapshotRefused} It is no regular file.
   * @throws {SystemError} A call failed.
   */
  constructor(
    fd: number,
    ranges: Iterable<FaultRange>,
    file: Deno.FsFile | number,
    options: LoadOptions = {},
  ) {
    const plan = readLoadOptions(options);
    const own = readRanges(ranges);
    const { fd: source } = new FileOffset(file);
    const { size: length } = fileStatus(source);
    ensureLength(source, length);
    const end = Math.max(0, ...own.map(({ position, length }) => position + length));
    if (end > Math.ceil(length / pageSize()) * pageSize()) {
      throw new SnapshotMismatch("the snapshot", end, length);
    }
    const userfaultfd = duplicate(checkDescriptor(fd));
    this.#userfaultfd = new OwnedDescriptor(userfaultfd, "server of faults");
    try {
      const task = { userfaultfd, ranges: own, length, workingSet: [], plan };
      this.#loading = new Loading(task, source, () => this.#loading.settle());
      this.#loading.start();
    } catch (error) {
      this.#userfaultfd.close();
      throw error;
    }
  }

  /**
   * Settles when all pages are loaded: faults of holes are served until the server is closed. It is
   * rejected when a page cannot be loaded, or the server is closed before.
   */
  get done(): Promise<void> {
    return this.#loading.done;
  }

  /** How far loading is, holes included, in bytes of the file. */
  get progress(): TransferProgress {
    return this.#loading.progress;
  }

  /** How many faults were answered. */
  get faults(): number {
    return this.#loading.faults;
  }

  /** Ends serving. Whoever touches a page that is not loaded waits then. Again does nothing. */
  close(): void {
    if (this.#userfaultfd.closed) return;
    this.#loading.close();
    this.#userfaultfd.close();
    this.#loading.settle(new MemoryClosed("server of faults"));
  }

  /** {@linkcode FaultServer.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function readRanges(ranges: Iterable<FaultRange>): LoadedRange[] {
  if (typeof ranges?.[Symbol.iterator] !== "function") {
    throw wrongKind("ranges", ranges, "a list of ranges");
  }
  const own = Array.from(ranges, (range) => {
    if (typeof range !== "object" || range === null) throw wrongKind("range", range, "an object");
    const { hostAddress, len, position } = range;
    for (const [name, value] of Object.entries({ hostAddress, len, position })) {
      checkCount(value, name);
      if (value % pageSize() === 0) continue;
      throw new RangeError(`Cannot use ${value} as ${name}: no multiple of ${pageSize()}`);
    }
    return { address: hostAddress, length: len, position };
  });
  for (const key of ["address", "position"] as const) {
    own.sort((a, b) => a[key] - b[key]);
    // What is loaded is known by its place in the file.
    const index = own.findIndex((range, index) => {
      const next = own[index + 1];
      return next !== undefined && range[key] + range.length > next[key];
    });
    if (index < 0) continue;
    const name = key === "address" ? "hostAddress" : key;
    const [first, second] = [own[index]![key], own[index + 1]![key]];
    throw new RangeError(
      `Cannot load ranges that overlap: those at ${name} ${first} and ${second}`,
    );
  }
  return own;
}
