/**
 * The SHA-256 of files that are being written.
 *
 * @module
 */
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { SnapshotRefused } from "../error/snapshot_error.ts";
import { FileHash } from "./file_hash.ts";
import { openAgain } from "./open_again.ts";
import type { TargetFile } from "./target_file.ts";

/** The SHA-256 that a file will have: it is read when all but its length is written. */
export class WrittenHash implements Disposable {
  readonly #fd: number;
  readonly #length: number;
  readonly #hash: FileHash;

  /**
   * Opens the file to read. Nothing of it is changed.
   *
   * @param target The file.
   * @param length Bytes that it will have.
   * @throws {SnapshotRefused} It cannot be read.
   */
  constructor(target: TargetFile, length: number) {
    const fd = openAgain(target.fd);
    if (fd === undefined) {
      throw new SnapshotRefused("it cannot be opened to read, which its SHA-256 takes");
    }
    this.#fd = fd;
    this.#length = length;
    this.#hash = new FileHash(fd, length, "the written file");
  }

  /** Reads the file. Progress continues that of writing it. */
  *pieces(): Generator<number, void, void> {
    for (const bytes of this.#hash.pieces()) yield this.#length + bytes;
  }

  /** See {@linkcode FileHash.digest}. */
  digest(): string {
    return this.#hash.digest();
  }

  /** Closes the descriptor. */
  [Symbol.dispose](): void {
    closeDescriptor(this.#fd);
  }
}
