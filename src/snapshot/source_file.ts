/**
 * Files of snapshots that are read.
 *
 * @module
 */
import type { OpenFile } from "../../ffi/descriptor_of.ts";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { fileStatus } from "../../ffi/file.ts";
import { reopenFile } from "../../ffi/file_lease.ts";
import { FileOffset } from "../backend/mmap/file_offset.ts";
import { SnapshotMismatch, SnapshotRefused } from "../error/snapshot_error.ts";

/** A file that is read, with a position that nobody else needs. */
export class SourceFile implements Disposable {
  /** The descriptor. */
  readonly fd: number;

  /**
   * Opens a file once more.
   *
   * @param file The file.
   * @throws {SnapshotRefused} It is no regular file.
   * @throws {SystemError} It is not open, or cannot be read.
   */
  constructor(file: OpenFile) {
    const { fd } = new FileOffset(file);
    if (!fileStatus(fd).isRegular) throw new SnapshotRefused("it is no regular file");
    this.fd = reopenFile(fd);
  }

  /** Closes the descriptor. */
  [Symbol.dispose](): void {
    closeDescriptor(this.fd);
  }
}

/**
 * Refuses a file that is not as long as it should be.
 *
 * @param what What it is, for the error.
 * @param fd Its descriptor.
 * @param length Bytes that it should have.
 * @throws {SnapshotRefused} It is no regular file.
 * @throws {SnapshotMismatch} It has another length.
 */
export function ensureLength(what: string, fd: number, length: number): void {
  const { isRegular, size } = fileStatus(fd);
  if (!isRegular) throw new SnapshotRefused("it is no regular file");
  if (size !== length) throw new SnapshotMismatch(what, length, size);
}
