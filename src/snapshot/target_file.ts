/**
 * Files that snapshots are written to.
 *
 * @module
 */
import { closeDescriptor, duplicate } from "../../ffi/descriptor.ts";
import { accessMode, type FileStatus, fileStatus, isAppending } from "../../ffi/file.ts";
import { FileOffset } from "../backend/mmap/file_offset.ts";
import { GuestRegionMmap } from "../backend/mmap/guest_region_mmap.ts";
import { mappingOf } from "../backend/mmap/mapped_memory.ts";
import { memoryOf } from "../backend/mmap/mmap_region.ts";
import { SnapshotRefused } from "../error/snapshot_error.ts";
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
   * Refuses a file that regions consist of: it would be changed while it is read.
   *
   * @throws {SnapshotRefused} A region maps it.
   */
  ensureNotOf(regions: Iterable<GuestMemoryRegion>): void {
    const { device, inode } = this.status;
    for (const region of regions) {
      if (!(region instanceof GuestRegionMmap)) continue;
      const identity = mappingOf(memoryOf(region.mmap)).descriptor?.identity;
      if (identity?.file !== `${device}:${inode}`) continue;
      throw new SnapshotRefused(`the region at ${hex(region.startAddr)} maps it`);
    }
  }

  /** Closes the descriptor. */
  [Symbol.dispose](): void {
    closeDescriptor(this.fd);
  }
}
