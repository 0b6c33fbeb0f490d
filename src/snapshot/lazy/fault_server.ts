/**
 * Loading the pages of another process's memory.
 *
 * @module
 */
import type { OpenFile } from "../../../ffi/descriptor_of.ts";
import { duplicate, setNonBlocking } from "../../../ffi/descriptor.ts";
import { fileStatus } from "../../../ffi/file.ts";
import { pageSize } from "../../../ffi/memory.ts";
import { ensureHandles } from "../../../ffi/page_faults.ts";
import { FileOffset } from "../../backend/mmap/file_offset.ts";
import { checkDescriptor, OwnedDescriptor } from "../../backend/mmap/owned_descriptor.ts";
import { SnapshotMismatch } from "../../error/snapshot_error.ts";
import { MemoryClosed } from "../../error/volatile_memory_error.ts";
import { checkCount, wrongKind } from "../../text/argument.ts";
import type { TransferProgress } from "../transfer.ts";
import type { FaultRange } from "./fault_handler.ts";
import { Loading, type LoadOptions, readLoadOptions } from "./loading.ts";
import type { LoadedRange } from "./page_loader.ts";
import { ensureLength } from "../source_file.ts";

/**
 * Loads the pages of memory of another process when they are touched there: of a VMM that hands its
 * page faults to a process of its own, as Firecracker does, or of {@linkcode restore} with the option
 * `thread: false`. A thread of this library serves, and loads all other pages in between.
 *
 * The memory's process keeps the descriptor too: should this process end, whoever touches a page waits
 * until another one serves.
 *
 * @example
 * Both sides, here in one process
 *
 * ```ts
 * import { capabilities, GuestAddress } from "@vmm/guest-memory";
 * import { FaultHandler, FaultServer, restore } from "@vmm/guest-memory/snapshot";
 *
 * const path = Deno.makeTempFileSync();
 * Deno.truncateSync(path, 2 ** 20);
 * if (capabilities().calls.pageFaults.available) {
 *   using file = Deno.openSync(path);
 *   const ranges = [[GuestAddress(0), 2 ** 20]] as const;
 *   using memory = restore(ranges, file, { mode: "lazy", thread: false });
 *   const handler = FaultHandler.of(memory);
 *   // Send these to the other process: the numbers as JSON, the descriptor by UnixSocket.
 *   using server = new FaultServer(handler.fd, handler.ranges, file);
 *   await server.done;
 *   // Takes what is left, the holes: the memory needs no server from then on.
 *   handler.restart();
 *   await handler.done;
 * }
 * Deno.removeSync(path);
 * ```
 */
export class FaultServer implements Disposable {
  readonly #userfaultfd: OwnedDescriptor;
  readonly #loading: Loading;

  /**
   * Begins to serve.
   *
   * @param fd The descriptor that the other process has made by `userfaultfd(2)` and sent, such as
   * {@linkcode FaultHandler.fd}. It is made non-blocking for every process that has it, and may be
   * closed afterwards.
   * @param ranges All memory that the other process has registered with it: neither the memory nor its
   * content in the file may overlap.
   * @param file The snapshot: a regular file, open to read. It may be closed afterwards.
   * @param options How.
   * @throws {TypeError} A range or an option is of a wrong kind.
   * @throws {RangeError} A number of a range is no integer from 0, of no whole pages, or beyond 2^53; there is no
   * range, or one has no bytes; or ranges overlap.
   * @throws {SnapshotMismatch} The file ends before a range does.
   * @throws {SnapshotRefused} It is no regular file.
   * @throws {SystemError} A call failed: `ioctl` with `ENOTTY` where the descriptor is of another kind,
   * with `EINVAL` where no process has such memory.
   */
  constructor(
    fd: number,
    ranges: Iterable<FaultRange>,
    file: OpenFile,
    options: LoadOptions = {},
  ) {
    const plan = readLoadOptions(options);
    const own = readRanges(ranges);
    const { fd: source } = new FileOffset(file);
    const { size: length } = fileStatus(source);
    ensureLength("the snapshot", source, length);
    const { position, length: last } = own.at(-1)!;
    const end = position + last;
    if (end > Math.ceil(length / pageSize()) * pageSize()) {
      throw new SnapshotMismatch("the snapshot", end, length);
    }
    const userfaultfd = duplicate(checkDescriptor(fd));
    this.#userfaultfd = new OwnedDescriptor(userfaultfd, "server of faults");
    try {
      for (const { address, length } of own) ensureHandles(userfaultfd, address, length);
      setNonBlocking(userfaultfd);
      const task = { userfaultfd, ranges: own, length, workingSet: [], plan };
      this.#loading = new Loading(task, source, () => this.#loading.settle());
      try {
        this.#loading.start();
      } catch (error) {
        this.#loading.close();
        throw error;
      }
    } catch (error) {
      this.#userfaultfd.close();
      throw error;
    }
  }

  /**
   * Settles when all data is loaded. Holes are not: the server answers faults of them until it is
   * closed, and without it whoever touches one waits. So keep it until the memory's process has ended,
   * or until that has called {@linkcode FaultHandler.restart}. It is rejected when a page cannot be
   * loaded, the memory's process has ended, or the server is closed before. That a process has ended
   * shows when a page is loaded, and not otherwise.
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
    if (len === 0) throw new RangeError("Cannot serve a range of 0 bytes");
    if (!Number.isSafeInteger(hostAddress + len)) {
      throw new RangeError(`Cannot use ${hostAddress} as hostAddress: it is beyond 2^53`);
    }
    return { address: hostAddress, length: len, position };
  });
  if (own.length === 0) throw new RangeError("Cannot serve faults: there is no range");
  // A page that is loaded counts as done wherever else it were.
  ensureApart(own, "hostAddress", ({ address }) => address);
  ensureApart(own, "position", ({ position }) => position);
  return own;
}

// Sorts them too.
function ensureApart(
  ranges: LoadedRange[],
  name: string,
  startOf: (range: LoadedRange) => number,
): void {
  ranges.sort((a, b) => startOf(a) - startOf(b));
  for (const [index, range] of ranges.entries()) {
    const next = ranges[index + 1];
    if (next === undefined || startOf(range) + range.length <= startOf(next)) continue;
    const first = `${name} ${startOf(range)} with ${range.length} bytes`;
    throw new RangeError(`Cannot serve ranges that overlap: ${first}, and ${startOf(next)}`);
  }
}
