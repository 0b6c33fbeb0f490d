/**
 * A file that is loaded into a guest: a kernel, or an initial RAM disk.
 *
 * @module
 */
import { type ByteValued, fromSlice, type GuestAddress, type GuestMemory } from "@vmm/guest-memory";
import { quoted } from "../lib/quoted.ts";
import { hex, size } from "../lib/units.ts";
import { MicrovmError } from "./microvm_error.ts";

/** A file, open to be read at offsets. */
export class ImageFile implements Disposable {
  /** The path it was opened by, fit to be shown. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly #file: Deno.FsFile;

  /**
   * Opens a file.
   *
   * @param path Where it is.
   * @throws {MicrovmError} It is missing, not to be read, or not a regular file.
   */
  constructor(path: string) {
    this.name = quoted(path);
    try {
      const { isFile, size } = Deno.statSync(path);
      // To open a pipe would wait for its other end.
      if (!isFile) throw new MicrovmError(`cannot read ${this.name}: it is not a regular file`);
      this.size = size;
      this.#file = Deno.openSync(path);
    } catch (error) {
      if (error instanceof MicrovmError || !(error instanceof Error)) throw error;
      throw new MicrovmError(`cannot read ${this.name}: ${explain(error)}`, { cause: error });
    }
  }

  /** Bytes from an offset: fewer than asked where the file ends. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)));
    if (bytes.length > 0) this.#file.seekSync(offset, Deno.SeekMode.Start);
    let done = 0;
    while (done < bytes.length) {
      const count = this.#file.readSync(bytes.subarray(done)) ?? 0;
      if (count === 0) break;
      done += count;
    }
    return bytes.subarray(0, done);
  }

  /** A value at an offset, or `undefined` where the file ends before it does. */
  readObj<T>(codec: ByteValued<T>, offset: number): T | undefined {
    return fromSlice(codec, this.read(offset, codec.byteLength));
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
    this.#file.seekSync(offset, Deno.SeekMode.Start);
    memory.readExactVolatileFrom(address, this.#file, length);
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

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

function explain(error: Error): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  return error.message;
}
