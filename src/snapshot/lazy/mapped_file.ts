/**
 * The file that pages are loaded from.
 *
 * @module
 */
import { closeDescriptor } from "../../../ffi/descriptor.ts";
import { libc } from "../../../ffi/libc.ts";
import { mapMemory, pageSize, PROT, reserveMemory, unmapMemory } from "../../../ffi/memory.ts";
import { openAgain } from "../open_again.ts";

/**
 * A file, mapped to be read. Only the kernel reads it, when it copies pages: a file that is cut off
 * makes that fail, and ends no process.
 */
export class MappedFile implements Disposable {
  /** Where it is mapped. */
  readonly address: number;
  /** A descriptor with a position of its own, to find holes; `undefined` if there is none. */
  readonly holes: number | undefined;
  readonly #pages: number;

  /**
   * Maps a file.
   *
   * @param fd Its descriptor, which may be closed afterwards.
   * @param length Its bytes.
   * @throws {SystemError} It cannot be mapped.
   */
  constructor(fd: number, length: number) {
    this.#pages = Math.ceil(length / pageSize()) * pageSize();
    this.address = reserveMemory(this.#pages, pageSize());
    try {
      const { private: flags } = libc().platform.map;
      const place = { address: this.address, length: this.#pages, fd, offset: 0 };
      // SAFETY: no view of it is made.
      mapMemory({ ...place, prot: PROT.read, flags });
      this.holes = openAgain(fd);
    } catch (error) {
      unmapMemory(this.address, this.#pages);
      throw error;
    }
  }

  /** Unmaps it. */
  [Symbol.dispose](): void {
    unmapMemory(this.address, this.#pages);
    if (this.holes !== undefined) closeDescriptor(this.holes);
  }
}
