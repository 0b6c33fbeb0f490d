/**
 * The SHA-256 of files.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { fileStatus } from "../../ffi/file.ts";
import { DataRuns } from "../../ffi/file_space.ts";
import { readAt } from "../../ffi/io.ts";
import { SnapshotMismatch } from "../error/snapshot_error.ts";
import { HeldBuffer } from "./held_buffer.ts";
import { PIECE } from "./transfer.ts";

/** The SHA-256 of the beginning of a file, of which holes are not read. */
export class FileHash {
  readonly #fd: number;
  readonly #what: string;
  readonly #length: number;
  readonly #hash = createHash("sha256");

  /**
   * Begins.
   *
   * @param fd A descriptor whose position nobody else needs.
   * @param length Bytes of it that count.
   * @param what What the file is, for errors.
   */
  constructor(fd: number, length: number, what: string) {
    this.#fd = fd;
    this.#length = length;
    this.#what = what;
  }

  /**
   * Reads the file.
   *
   * @returns Up to which byte, after each piece.
   * @throws {SnapshotMismatch} The file ends before.
   * @throws {SystemError} A call failed.
   */
  *pieces(): Generator<number, void, void> {
    using buffer = new HeldBuffer(BUFFER);
    const data = new DataRuns(this.#fd);
    let done = 0;
    for (let start = 0; start < this.#length; start += WINDOW) {
      const end = Math.min(start + WINDOW, this.#length);
      const runs: [number, number][] = [];
      data.forEach(start, end, (...run) => runs.push(run));
      // The hole behind the last of them.
      for (const [first, count] of [...runs, [end, 0] as const]) {
        while (done < first) yield done = this.#addZeros(done, Math.min(first - done, PIECE));
        while (done < first + count) {
          yield done = this.#add(buffer, done, Math.min(first + count - done, PIECE));
        }
      }
    }
  }

  /** As `sha256sum` prints it. To be called once, after {@linkcode FileHash.pieces}. */
  digest(): string {
    return this.#hash.digest("hex");
  }

  #addZeros(at: number, length: number): number {
    for (let left = length; left > 0; left -= BUFFER) {
      this.#hash.update(ZEROS.subarray(0, Math.min(left, BUFFER)));
    }
    return at + length;
  }

  #add({ bytes, address }: HeldBuffer, at: number, length: number): number {
    const end = at + length;
    while (at < end) {
      const count = readAt(this.#fd, address, Math.min(end - at, BUFFER), at);
      if (count === 0) {
        throw new SnapshotMismatch(this.#what, this.#length, fileStatus(this.#fd).size);
      }
      this.#hash.update(bytes.subarray(0, count));
      at += count;
    }
    return end;
  }
}

const BUFFER = 2 ** 18;
const ZEROS = new Uint8Array(BUFFER);
// Of the file whose parts are listed in one go.
const WINDOW = 2 ** 30;
