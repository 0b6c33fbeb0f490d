/**
 * Accesses to memory that has no slices, only `read` and `write`, through a bounce buffer.
 *
 * @module
 */
import type { ByteValued } from "../codec/byte_valued.ts";
import { OutOfBounds } from "../error/volatile_memory_error.ts";
import { withBounceBuffer } from "../host/bounce_buffer.ts";
import { checkAddress, checkCount } from "../text/argument.ts";
import { readBounced, writeBounced } from "./bounced.ts";
import type { Bytes } from "./bytes.ts";
import { type ByteSink, type ByteSource, exactly, readInto, writeFrom } from "./stream.ts";
import { VolatileSlice } from "./volatile_slice.ts";

// A stream passes through a buffer of up to this many bytes.
const CHUNK = 2 ** 20;

/** What memory without slices does by its `read` and `write`: values and streams. */
export class BouncedBytes<A extends number> {
  readonly #memory: Bytes<A>;
  readonly #len: number;

  /**
   * Goes by a memory's `read` and `write`.
   *
   * @param memory The memory.
   * @param len Its bytes.
   */
  constructor(memory: Bytes<A>, len: number) {
    this.#memory = memory;
    this.#len = len;
  }

  /** Reads a value: see {@linkcode Bytes.readObj}. */
  readObj<T>(codec: ByteValued<T>, addr: A): T {
    if (codec.byteLength > 0) this.#bytesFrom(addr);
    return readBounced(this.#memory, codec, addr);
  }

  /** Writes a value: see {@linkcode Bytes.writeObj}. */
  writeObj<T>(codec: ByteValued<T>, value: T, addr: A): void {
    if (codec.byteLength > 0) this.#bytesFrom(addr);
    writeBounced(this.#memory, codec, value, addr);
  }

  /** Reads once from a stream: see {@linkcode Bytes.readVolatileFrom}. */
  readVolatileFrom(addr: A, src: ByteSource, count: number): number {
    return this.#transfer(addr, count, (slice, bytes) => {
      const done = readInto(slice, src);
      this.#memory.writeSlice(bytes.subarray(0, done), addr);
      return done;
    });
  }

  /** Reads exactly from a stream: see {@linkcode Bytes.readExactVolatileFrom}. */
  readExactVolatileFrom(addr: A, src: ByteSource, count: number): void {
    this.#ensureInside(addr, count);
    exactly(count, "UnexpectedEof", (at, rest) => this.readVolatileFrom(addr + at as A, src, rest));
  }

  /** Writes once to a stream: see {@linkcode Bytes.writeVolatileTo}. */
  writeVolatileTo(addr: A, dst: ByteSink, count: number): number {
    return this.#transfer(addr, count, (slice, bytes) => {
      this.#memory.readSlice(bytes, addr);
      return writeFrom(slice, dst);
    });
  }

  /** Writes exactly to a stream: see {@linkcode Bytes.writeAllVolatileTo}. */
  writeAllVolatileTo(addr: A, dst: ByteSink, count: number): void {
    this.#ensureInside(addr, count);
    exactly(count, "WriteZero", (at, rest) => this.writeVolatileTo(addr + at as A, dst, rest));
  }

  #transfer(
    addr: A,
    count: number,
    transfer: (slice: VolatileSlice, bytes: Uint8Array) => number,
  ): number {
    checkCount(count);
    if (count === 0) return 0;
    const length = Math.min(count, this.#bytesFrom(addr), CHUNK);
    return withBounceBuffer(
      length,
      (buffer, bytes) => transfer(new VolatileSlice(buffer, 0, length), bytes),
    );
  }

  #ensureInside(addr: A, count: number): void {
    checkCount(count);
    if (count > 0 && this.#bytesFrom(addr) < count) throw new OutOfBounds(addr + count, this.#len);
  }

  #bytesFrom(addr: A): number {
    checkAddress(addr);
    if (Number.isSafeInteger(addr) && addr >= 0 && addr < this.#len) return this.#len - addr;
    throw new OutOfBounds(addr, this.#len);
  }
}
