/**
 * A place in an open file.
 *
 * @module
 */
import { descriptorOf, type OpenFile } from "../../../ffi/descriptor_of.ts";
import { shown } from "../../text/argument.ts";
import { checkDescriptor } from "./owned_descriptor.ts";

/**
 * A file to map, and where in it the mapping begins. Mirrors `FileOffset`.
 *
 * A mapping does not need its file to stay open. Code that uses `fd` does.
 *
 * Files of `node:fs` know their descriptor. That of a `Deno.FsFile` is looked up by device, inode and
 * position, and nothing is moved: a pending write of the file lands where it would without. Where
 * the same file is open several times in the same mode, `fd` is the lowest of these descriptors.
 * Keep all of them open until the file is mapped, or pass a raw descriptor.
 *
 * @example
 * ```ts
 * import { FileOffset, MmapRegion } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync();
 * Deno.writeTextFileSync(path, "hello");
 * using file = Deno.openSync(path, { read: true, write: true });
 * using region = MmapRegion.fromFile(new FileOffset(file), 5);
 * const text = new Uint8Array(5);
 * region.asVolatileSlice().readSlice(text, 0);
 * assertEquals(new TextDecoder().decode(text), "hello");
 * ```
 */
export class FileOffset {
  /** A descriptor of the file. Closing it is up to the caller. */
  readonly fd: number;
  /** Where the mapping begins, in bytes from the start of the file. */
  readonly start: number;
  /** The given file: this reference keeps it from being closed at garbage collection. */
  readonly file: OpenFile;

  /**
   * Names a place in a file.
   *
   * @param file An open file, or the descriptor of one, such as a memfd or a device.
   * @param start Where the mapping begins: a multiple of the page size.
   * @throws {TypeError} The file's descriptor cannot be found: the file does not seek, or it is
   * open several times in different modes. The message names these descriptors; pass one of them.
   * @throws {RangeError} The descriptor or the offset is not an integer from 0.
   */
  constructor(file: OpenFile, start: number = 0) {
    const fd = checkDescriptor(descriptorOf(file));
    if (!Number.isSafeInteger(start) || start < 0) {
      throw new RangeError(
        `Cannot map a file: start is ${shown(start)}, not an integer in [0, 2^53)`,
      );
    }
    this.fd = fd;
    this.start = start;
    this.file = file;
  }
}
