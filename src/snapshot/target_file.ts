/**
 * Files that snapshots are written to.
 *
 * @module
 */
import { closeDescriptor, duplicate } from "../../ffi/descriptor.ts";
import { accessMode, type FileStatus, fileStatus, isAppending } from "../../ffi/file.ts";
import { readSystemFile } from "../../ffi/process.ts";
import { FileOffset } from "../backend/mmap/file_offset.ts";
import { GuestRegionMmap } from "../backend/mmap/guest_region_mmap.ts";
import { mappingOf } from "../backend/mmap/mapped_memory.ts";
import { memoryOf } from "../backend/mmap/mmap_region.ts";
import { SnapshotMismatch, SnapshotRefused } from "../error/snapshot_error.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";
import { hex } from "../text/number_format.ts";

/** A file with a descriptor of this library's own: the caller may close the other meanwhile. */
export class TargetFile implements Disposable {
  /** The descriptor. */
  readonly fd: number;

  /**
   * Checks a file. Nothing of it is changed.
   *
   * @param file The file.
   * @throws {SnapshotRefused} It cannot be written at any position.
   * @throws {SystemError} It is not open.
   */
  constructor(file: Deno.FsFile | number) {
    const { fd } = new FileOffset(file);
    if (!fileStatus(fd).isRegular) throw new SnapshotRefused("it is no regular file");
    if (accessMode(fd) === "read") throw new SnapshotRefused("it is open to read only");
    if (isAppending(fd)) throw new SnapshotRefused("it is open to append");
    this.fd = duplicate(fd);
  }

  /** What the kernel says of it now. */
  get status(): FileStatus {
    return fileStatus(this.fd);
  }

  /**
   * Finds out whether somebody has cut the file off, or enlarged it, while it was written.
   *
   * @param length Bytes that it should have.
   * @throws {SnapshotMismatch} It has others.
   */
  ensureLength(length: number): void {
    const { size } = this.status;
    if (size !== length) throw new SnapshotMismatch("the written file", length, size);
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
    const { device, inode } = this.status;
    for (const region of regions) {
      if (!(region instanceof GuestRegionMmap)) continue;
      const identity = mappingOf(memoryOf(region.mmap)).descriptor?.identity;
      if (identity?.file !== `${device}:${inode}`) continue;
      throw new SnapshotRefused(`the region at ${hex(region.startAddr)} maps it`);
    }
  }

  // As far as the kernel says, under the number of the device that stat(2) has: some file systems have
  // several.
  #ensureNotMapped(): void {
    const { size, device, inode } = this.status;
    // Nothing is truncated.
    if (size === 0) return;
    const major = device >> 8n & 0xfffn | device >> 32n & 0xffff_f000n;
    const minor = device & 0xffn | device >> 12n & 0xffff_ff00n;
    const [first, second] = [major, minor].map((n) => n.toString(16).padStart(2, "0"));
    // 7f0000000000-7f0000001000 rw-p 00000000 fe:00 1234   /path
    const isOfFile = new RegExp(` ${first}:${second} ${inode}(?: |$)`, "m");
    if (isOfFile.test(readSystemFile("/proc/self/maps") ?? "")) {
      throw new SnapshotRefused("this process maps it, and would be ended by truncating it");
    }
  }

  /** Closes the descriptor. */
  [Symbol.dispose](): void {
    closeDescriptor(this.fd);
  }
}
