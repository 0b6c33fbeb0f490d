/**
 * Files that snapshots are written to.
 *
 * @module
 */
import type { OpenFile } from "../../ffi/descriptor_of.ts";
import { closeDescriptor, duplicate } from "../../ffi/descriptor.ts";
import {
  accessMode,
  deviceParts,
  type FileStatus,
  fileStatus,
  isAppending,
} from "../../ffi/file.ts";
import { setFileLength, syncFile } from "../../ffi/file_space.ts";
import { readSystemFile } from "../../ffi/process.ts";
import { FileOffset } from "../backend/mmap/file_offset.ts";
import { GuestRegionMmap } from "../backend/mmap/guest_region_mmap.ts";
import { mappingOf } from "../backend/mmap/mapped_memory.ts";
import { memoryOf } from "../backend/mmap/mmap_region.ts";
import { SnapshotMismatch, SnapshotRefused } from "../error/snapshot_error.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";
import { hex } from "../text/number_format.ts";

/**
 * A file with a descriptor of this library's own: the caller may close the other meanwhile.
 *
 * Its length says whether it is finished. Until {@linkcode TargetFile.finish} it has more bytes than
 * the layout, so that what is left of a transfer that failed, or whose process was killed, is refused
 * by whoever reads it.
 */
export class TargetFile implements Disposable {
  /** The descriptor. */
  readonly fd: number;
  readonly #identity: string;
  // Bytes when it is finished, and until then.
  #length = 0;
  #unfinished = 0;

  /**
   * Checks a file. Nothing of it is changed.
   *
   * @param file The file.
   * @throws {SnapshotRefused} It cannot be written at any position, or another transfer writes it.
   * @throws {SystemError} It is not open.
   */
  constructor(file: OpenFile) {
    const { fd } = new FileOffset(file);
    const { isRegular, device, inode } = fileStatus(fd);
    if (!isRegular) throw new SnapshotRefused("it is no regular file");
    if (accessMode(fd) === "read") throw new SnapshotRefused("it is open to read only");
    if (isAppending(fd)) throw new SnapshotRefused("it is open to append");
    this.#identity = `${device}:${inode}`;
    if (written.has(this.#identity)) {
      throw new SnapshotRefused("another transfer of this thread writes it");
    }
    this.fd = duplicate(fd);
    written.add(this.#identity);
  }

  /** What the kernel says of it now. */
  get status(): FileStatus {
    return fileStatus(this.fd);
  }

  /**
   * Empties the file, and begins to write it.
   *
   * @param length Bytes that it will have.
   * @throws {SystemError} A call failed.
   */
  begin(length: number): void {
    // Old content would show through the holes.
    if (this.status.size > 0) setFileLength(this.fd, 0);
    this.#mark(length, WRITTEN);
  }

  /**
   * Begins to change a file that has content.
   *
   * @param length Bytes that it has if it is finished.
   * @param sync Whether to wait until the storage knows that it is unfinished.
   * @throws {SystemError} A call failed.
   */
  beginUpdate(length: number, sync: boolean): void {
    this.#mark(length, UPDATED);
    if (sync) syncFile(this.fd);
  }

  /** Whether a size is that of a file which {@linkcode TargetFile.beginUpdate} has begun to change. */
  static isUnfinishedUpdate(size: number, length: number): boolean {
    return size === length + UPDATED;
  }

  #mark(length: number, bytes: number): void {
    this.#length = length;
    this.#unfinished = length + bytes;
    setFileLength(this.fd, this.#unfinished);
  }

  /**
   * Finishes the file. This has to be the last step.
   *
   * @param sync Whether to wait until the storage has what was written: before, and afterwards.
   * @throws {SnapshotMismatch} Somebody has cut the file off, or enlarged it, meanwhile.
   * @throws {SystemError} A call failed.
   */
  finish(sync: boolean): void {
    if (sync) syncFile(this.fd);
    const { size } = this.status;
    if (size !== this.#unfinished) {
      throw new SnapshotMismatch("the written file", this.#unfinished, size);
    }
    setFileLength(this.fd, this.#length);
    if (sync) syncFile(this.fd);
  }

  /**
   * Refuses a file whose content cannot be replaced: one that regions consist of, as it would be
   * changed while it is read, and one that this process maps, as accesses would end it (`SIGBUS`).
   *
   * @throws {SnapshotRefused} It is such a file.
   */
  ensureReplaceable(regions: Iterable<GuestMemoryRegion>): void {
    this.#ensureNotOf(regions);
    this.#ensureNotMapped();
  }

  #ensureNotOf(regions: Iterable<GuestMemoryRegion>): void {
    for (const region of regions) {
      if (!(region instanceof GuestRegionMmap)) continue;
      const identity = mappingOf(memoryOf(region.mmap)).descriptor?.identity;
      if (identity?.file !== this.#identity) continue;
      throw new SnapshotRefused(`the region at ${hex(region.startAddr)} maps it`);
    }
  }

  // As far as the kernel says, under the number of the device that stat(2) has: some file systems have
  // several.
  #ensureNotMapped(): void {
    const { size, device, inode } = this.status;
    // Nothing is truncated.
    if (size === 0) return;
    const [first, second] = deviceParts(device).map((n) => n.toString(16).padStart(2, "0"));
    // 7f0000000000-7f0000001000 rw-p 00000000 fe:00 1234   /path
    const isOfFile = new RegExp(` ${first}:${second} ${inode}(?: |$)`, "m");
    if (isOfFile.test(readSystemFile("/proc/self/maps") ?? "")) {
      throw new SnapshotRefused("this process maps it, and would be ended by truncating it");
    }
  }

  /** Closes the descriptor, and lets other transfers write the file. */
  [Symbol.dispose](): void {
    written.delete(this.#identity);
    closeDescriptor(this.fd);
  }
}

// The files that transfers of this thread write, by device and inode.
const written = new Set<string>();

// Bytes that an unfinished file has beyond its layout: a hole. No layout of whole pages has such a
// length. A snapshot that was never whole must not be taken for one that a diff makes whole.
const WRITTEN = 1;
const UPDATED = 2;
