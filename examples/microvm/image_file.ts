/**
 * A file that is loaded into a guest: a kernel, or an initial RAM disk.
 *
 * @module
 */
import { type ByteValued, fromSlice, type GuestAddress, type GuestMemory } from "@vmm/guest-memory";
import { RegularFile } from "../lib/regular_file.ts";
import { hex, size } from "../lib/units.ts";
import { MicrovmError } from "./microvm_error.ts";

/** A file, open to be read at offsets. */
export class ImageFile extends RegularFile {
  /** A value at an offset, or `undefined` where the file ends before it does. */
  readObj<T>(codec: ByteValued<T>, offset: number): T | undefined {
    return fromSlice(codec, this.readAt(offset, codec.byteLength));
  }

  /**
   * Reads a part of the file straight into guest memory: its bytes do not pass through JavaScript's
   * heap.
   *
   * @param memory Where to: there has to be room.
   * @param address The guest address.
   * @param offset Where in the file.
   * @param length Bytes, which the file has.
   */
  load(memory: GuestMemory, address: GuestAddress, offset: number, length: number): void {
    memory.readExactVolatileFrom(address, this.from(offset), length);
  }

  /**
   * Refuses to load what has no place.
   *
   * @param memory Where it should go.
   * @param address The guest address.
   * @param length Bytes.
   * @throws {MicrovmError} The memory has no place for it.
   */
  demandRoom(memory: GuestMemory, address: GuestAddress, length: number): void {
    if (memory.checkRange(address, length)) return;
    throw new MicrovmError(
      `cannot load ${this.name}: it needs ${size(length)} of memory at ${hex(address)}, ` +
        "and the guest has less (see --memory)",
    );
  }
}
