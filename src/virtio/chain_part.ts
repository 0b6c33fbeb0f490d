/**
 * A part of a descriptor chain, as a stream of bytes.
 *
 * | Item | What it is |
 * | --- | --- |
 * | {@linkcode ChainPart} | what both parts can do |
 * | {@linkcode ReadablePart} | the bytes that the driver gives to the device |
 * | {@linkcode WritablePart} | the space that the device fills |
 *
 * @module
 */
import type { GuestAddress } from "../address.ts";
import type { ByteValued } from "../codec/byte_valued.ts";
import { GuestMemoryError } from "../error/guest_memory_error.ts";
import { ensureAll, PartialBuffer } from "../error/volatile_memory_error.ts";
import { ChainUsed } from "../error/virtqueue_error.ts";
import type { IoMemory } from "../guest/io_memory.ts";
import { borrowBounceBuffer, returnBounceBuffer } from "../host/bounce_buffer.ts";
import { byteLength, bytesOf } from "../host/bytes.ts";
import { checkCount } from "../text/argument.ts";
import { type ByteSink, type ByteSource, exactly } from "../volatile/stream.ts";
import type { Segments } from "./segments.ts";

/**
 * The readable or the writable buffers of a descriptor chain as one stream of bytes, whatever the
 * buffers' borders. Each access begins where the last one ended.
 *
 * Every access throws {@linkcode ChainUsed} once the chain was given back.
 *
 * @example Both parts count and skip
 * ```ts
 * import { GuestAddress, GuestMemoryHeap } from "@vmm/guest-memory";
 * import { MockDriver, Virtqueue } from "@vmm/guest-memory/virtio";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x4000]]);
 * const driver = new MockDriver(memory, { size: 8, base: GuestAddress(0), length: 0x4000 });
 * using queue = new Virtqueue(memory, driver.state);
 * driver.add([new Uint8Array(16), new Uint8Array(4)], [512]);
 *
 * const { readable, writable } = queue.pop()!;
 * assertEquals([readable.remaining, writable.remaining], [20, 512]);
 * readable.skip(16);
 * assertEquals(readable.ranges().map(([, length]) => length), [4]);
 * ```
 */
export abstract class ChainPart {
  // Nothing here is #private: V8 takes 48 ns to make the two parts of a chain with private methods,
  // and 9 without. Nothing depends on it but which bytes of guest memory a device accesses.

  /** @ignore The buffers of the chain. */
  declare protected readonly segments: Segments;
  /** Which use of the segments the chain is. */
  declare protected readonly generation: number;
  /** The buffer with the next byte. */
  declare protected index: number;
  /** Where in that buffer the next byte is. */
  declare protected offset: number;
  /** Bytes that are left. */
  declare protected left: number;

  /**
   * Made by {@linkcode Virtqueue.pop}.
   *
   * @param segments The buffers of the chain.
   * @param index The buffer in which the part begins.
   * @param offset Where in it.
   * @param length Bytes of the part.
   */
  constructor(segments: Segments, index: number, offset: number, length: number) {
    this.segments = segments;
    this.generation = segments.generation;
    this.index = index;
    this.offset = offset;
    this.left = length;
  }

  /** Bytes that are left. */
  get remaining(): number {
    return this.left;
  }

  /**
   * Passes over bytes.
   *
   * @param count How many.
   * @throws {PartialBuffer} Fewer are left.
   */
  skip(count: number): void {
    this.ensureLeft(count);
    this.advance(count);
  }

  /**
   * The guest ranges of the next bytes, for {@linkcode IoMemory.readVectoredFrom}, or for code that
   * knows the memory.
   *
   * @param count Bytes; by default all that are left.
   * @returns An address and a length for each.
   * @throws {PartialBuffer} Fewer are left.
   */
  ranges(count: number = this.left): [addr: GuestAddress, length: number][] {
    this.ensureLeft(count);
    const { words } = this.segments;
    const ranges: [GuestAddress, number][] = [];
    let offset = this.offset;
    for (let at = this.index * 4, left = count; left > 0; at += 4, offset = 0) {
      const length = Math.min(words[at + 2]! - offset, left);
      ranges.push([addressIn(words, at, offset), length]);
      left -= length;
    }
    return ranges;
  }

  /** The memory, while the chain is the device's. */
  protected get memory(): IoMemory {
    const { generation, source } = this.segments;
    if (generation !== this.generation) throw new ChainUsed();
    return source.memory;
  }

  /** The address of the next bytes if they are in one buffer; -1 if not, or if it is none. */
  protected locate(count: number): number {
    const { words } = this.segments;
    const at = this.index * 4;
    const offset = this.offset;
    const isInside = count > 0 && count <= this.left && offset + count <= words[at + 2]!;
    return isInside ? addressIn(words, at, offset) : -1;
  }

  /** Moves on by bytes that were accessed. */
  protected advance(count: number): void {
    const { words } = this.segments;
    const left = this.left - count;
    // A stream or a codec may have used the part meanwhile.
    this.left = left < 0 ? 0 : left;
    this.offset += count;
    // The next buffer is found now, so that an access need not.
    for (let length; this.left > 0 && this.offset >= (length = words[this.index * 4 + 2]!);) {
      this.offset -= length;
      this.index++;
    }
  }

  /** Bytes of an access of up to so many. */
  protected clamp(count: number): number {
    checkCount(count);
    return Math.min(count, this.left);
  }

  /** The ranges of an access of up to so many bytes. */
  protected rangesUpTo(count: number): [addr: GuestAddress, length: number][] {
    return this.ranges(this.clamp(count));
  }

  /** Refuses more bytes than are left. */
  protected ensureLeft(count: number): void {
    this.memory;
    checkCount(count);
    if (count > this.left) throw new PartialBuffer(count, this.left);
  }
}

/**
 * The buffers of a chain that the driver filled for the device. Mirrors `Reader`.
 *
 * Names and errors are those of {@linkcode Bytes}, without an address.
 *
 * @example A header in one buffer or in two, and then the data
 * ```ts
 * import { GuestAddress, GuestMemoryHeap, u32le } from "@vmm/guest-memory";
 * import { MockDriver, Virtqueue } from "@vmm/guest-memory/virtio";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x4000]]);
 * const driver = new MockDriver(memory, { size: 8, base: GuestAddress(0), length: 0x4000 });
 * using queue = new Virtqueue(memory, driver.state);
 * driver.add([Uint8Array.of(7, 0), Uint8Array.of(0, 0, 1, 2, 3)]);
 *
 * const chain = queue.pop()!;
 * assertEquals(chain.readable.readObj(u32le), 7);
 * const data = new Uint8Array(chain.readable.remaining);
 * chain.readable.readSlice(data);
 * assertEquals(data, Uint8Array.of(1, 2, 3));
 * queue.addUsed(chain, 0);
 * ```
 */
export class ReadablePart extends ChainPart {
  /**
   * Copies bytes to a buffer.
   *
   * @param buf Where to copy to.
   * @returns Bytes copied: all of the buffer, or what is left, or what there is before a hole.
   * @throws {InvalidGuestAddress} The first byte is in no region.
   */
  read(buf: Uint8Array): number {
    const { memory } = this;
    const length = byteLength(buf);
    if (length === 0) return 0;
    const addr = this.locate(length);
    const done = addr >= 0
      ? memory.read(buf, addr as GuestAddress)
      : inPieces(this.rangesUpTo(length), (at, start, count) => {
        return memory.read(bytesOf(buf, start, count), at);
      });
    this.advance(done);
    return done;
  }

  /**
   * Fills a buffer.
   *
   * @param buf Where to copy to.
   * @throws {PartialBuffer} Fewer bytes are left, or a hole follows. Those before it were read.
   */
  readSlice(buf: Uint8Array): void {
    ensureAll(byteLength(buf), this.read(buf));
  }

  /**
   * Reads a value, which may be in several buffers.
   *
   * @param codec The value's type.
   * @returns The value.
   * @throws {PartialBuffer} Fewer bytes are left, or a hole follows.
   */
  readObj<T>(codec: ByteValued<T>): T {
    const size = codec.byteLength;
    const { memory } = this;
    const addr = this.locate(size);
    if (addr < 0) return readOver(this, codec, size);
    const value = memory.readObj(codec, addr as GuestAddress);
    this.advance(size);
    return value;
  }

  /**
   * Writes bytes to a stream, once: for {@linkcode Fd}, one `writev(2)` straight from guest memory.
   *
   * @param dst The stream.
   * @param count Bytes at most; by default all that are left.
   * @returns Bytes written: a prefix.
   * @throws {IOError} The stream failed.
   */
  writeVolatileTo(dst: ByteSink, count: number = this.remaining): number {
    const { memory } = this;
    const length = this.clamp(count);
    const addr = this.locate(length);
    const done = addr >= 0
      ? memory.writeVolatileTo(addr as GuestAddress, dst, length)
      : memory.writeVectoredTo(this.ranges(length), dst);
    this.advance(done);
    return done;
  }

  /**
   * Writes bytes to a stream, in as many steps as necessary.
   *
   * @param dst The stream.
   * @param count Bytes; by default all that are left.
   * @throws {PartialBuffer} Fewer are left.
   * @throws {IOError} The stream failed, or takes no more.
   */
  writeAllVolatileTo(dst: ByteSink, count: number = this.remaining): void {
    this.ensureLeft(count);
    exactly(count, "WriteZero", (_offset, rest) => this.writeVolatileTo(dst, rest));
  }

  /**
   * Takes the rest away: this part keeps the next bytes.
   *
   * @param count Bytes that this part keeps.
   * @returns The bytes after them.
   * @throws {PartialBuffer} Fewer are left.
   */
  splitAt(count: number): ReadablePart {
    this.ensureLeft(count);
    const rest = new ReadablePart(this.segments, this.index, this.offset, this.left);
    rest.advance(count);
    this.left = count;
    return rest;
  }
}

/**
 * The buffers of a chain that the device fills for the driver. Mirrors `Writer`. Every write marks
 * the bytes dirty.
 *
 * Names and errors are those of {@linkcode Bytes}, without an address.
 *
 * @example Data, and a status in the last byte
 * ```ts
 * import { GuestAddress, GuestMemoryHeap, u8 } from "@vmm/guest-memory";
 * import { MockDriver, Virtqueue } from "@vmm/guest-memory/virtio";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x4000]]);
 * const driver = new MockDriver(memory, { size: 8, base: GuestAddress(0), length: 0x4000 });
 * using queue = new Virtqueue(memory, driver.state);
 * driver.add([], [3, 1]);
 *
 * const chain = queue.pop()!;
 * const status = chain.writable.splitAt(3);
 * chain.writable.writeSlice(Uint8Array.of(1, 2, 3));
 * status.writeObj(u8, 0);
 * queue.addUsed(chain, 4);
 * assertEquals(driver.takeUsed()?.written, Uint8Array.of(1, 2, 3, 0));
 * ```
 */
export class WritablePart extends ChainPart {
  /**
   * Copies bytes from a buffer.
   *
   * @param buf The bytes.
   * @returns Bytes copied: all of the buffer, or what is left, or what there is before a hole.
   * @throws {InvalidGuestAddress} The first byte is in no region.
   */
  write(buf: Uint8Array): number {
    const { memory } = this;
    const length = byteLength(buf);
    if (length === 0) return 0;
    const addr = this.locate(length);
    const done = addr >= 0
      ? memory.write(buf, addr as GuestAddress)
      : inPieces(this.rangesUpTo(length), (at, start, count) => {
        return memory.write(bytesOf(buf, start, count), at);
      });
    this.advance(done);
    return done;
  }

  /**
   * Copies all of a buffer.
   *
   * @param buf The bytes.
   * @throws {PartialBuffer} Less space is left, or a hole follows. What is before it was written.
   */
  writeSlice(buf: Uint8Array): void {
    ensureAll(byteLength(buf), this.write(buf));
  }

  /**
   * Writes a value, which may be in several buffers.
   *
   * @param codec The value's type.
   * @param value The value.
   * @throws {PartialBuffer} Less space is left, or a hole follows.
   */
  writeObj<T>(codec: ByteValued<T>, value: T): void {
    const size = codec.byteLength;
    const { memory } = this;
    const addr = this.locate(size);
    if (addr < 0) return writeOver(this, codec, size, value);
    memory.writeObj(codec, value, addr as GuestAddress);
    this.advance(size);
  }

  /**
   * Fills space from a stream, once: for {@linkcode Fd}, one `readv(2)` straight into guest memory.
   *
   * @param src The stream.
   * @param count Bytes at most; by default all that are left.
   * @returns Bytes read: a prefix; 0 at the end of the stream.
   * @throws {IOError} The stream failed.
   */
  readVolatileFrom(src: ByteSource, count: number = this.remaining): number {
    const { memory } = this;
    const length = this.clamp(count);
    const addr = this.locate(length);
    const done = addr >= 0
      ? memory.readVolatileFrom(addr as GuestAddress, src, length)
      : memory.readVectoredFrom(this.ranges(length), src);
    this.advance(done);
    return done;
  }

  /**
   * Fills space from a stream, in as many steps as necessary.
   *
   * @param src The stream.
   * @param count Bytes; by default all that are left.
   * @throws {PartialBuffer} Less space is left.
   * @throws {IOError} The stream failed, or ended before.
   */
  readExactVolatileFrom(src: ByteSource, count: number = this.remaining): void {
    this.ensureLeft(count);
    exactly(count, "UnexpectedEof", (_offset, rest) => this.readVolatileFrom(src, rest));
  }

  /**
   * Takes the rest away: this part keeps the next bytes.
   *
   * @param count Bytes that this part keeps.
   * @returns The bytes after them.
   * @throws {PartialBuffer} Fewer are left.
   */
  splitAt(count: number): WritablePart {
    this.ensureLeft(count);
    const rest = new WritablePart(this.segments, this.index, this.offset, this.left);
    rest.advance(count);
    this.left = count;
    return rest;
  }
}

function addressIn(words: Uint32Array, at: number, offset: number): GuestAddress {
  const low = words[at]! + offset;
  const high = words[at + 1]!;
  return (high === 0 ? low : high * 2 ** 32 + low) as GuestAddress;
}

// Accesses range after range, up to the first short one: the bytes accessed are a prefix.
function inPieces(
  ranges: readonly (readonly [GuestAddress, number])[],
  access: (at: GuestAddress, start: number, length: number) => number,
): number {
  let total = 0;
  for (const [addr, length] of ranges) {
    let done = 0;
    try {
      done = access(addr, total, length);
    } catch (error) {
      // A prefix: the next access begins with this byte, and throws the error of the memory.
      if (total === 0 || !(error instanceof GuestMemoryError)) throw error;
    }
    total += done;
    if (done < length) break;
  }
  return total;
}

// A value in several buffers, or none.
function readOver<T>(part: ReadablePart, codec: ByteValued<T>, size: number): T {
  ensureAll(size, Math.min(size, part.remaining));
  const buffer = borrowBounceBuffer(size);
  try {
    part.readSlice(bytesOf(buffer.u8, 0, size));
    return codec.read(buffer, 0);
  } finally {
    returnBounceBuffer(buffer);
  }
}

function writeOver<T>(part: WritablePart, codec: ByteValued<T>, size: number, value: T): void {
  ensureAll(size, Math.min(size, part.remaining));
  const buffer = borrowBounceBuffer(size);
  try {
    codec.write(buffer, 0, value);
    buffer.ensureOpen();
    part.writeSlice(bytesOf(buffer.u8, 0, size));
  } finally {
    returnBounceBuffer(buffer);
  }
}
