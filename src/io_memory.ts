/**
 * Memory that devices access by address, whether guest physical or translated by an IOMMU.
 *
 * @module
 */
import type { GuestAddress, MemoryRegionAddress } from "./address.ts";
import type { ByteValued } from "./byte_valued.ts";
import type { Bytes } from "./bytes.ts";
import { InvalidBackendAddress, InvalidGuestAddress } from "./guest_memory_error.ts";
import type { GuestMemory } from "./guest_memory.ts";
import { type ReadSource, readVectored, type WriteSink, writeVectored } from "./io.ts";
import { hex } from "./number_format.ts";
import { Permissions } from "./permissions.ts";
import type { AtomicAccess } from "./scalar.ts";
import { SCRATCH_SIZE } from "./scratch.ts";
import { readSplit, writeSplit } from "./split_value.ts";
import { IOError, PartialBuffer, toGuestMemoryError } from "./volatile_memory_error.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

/** What holds a part of a range: a region, or a slice of one. */
export interface AccessTarget extends Bytes<MemoryRegionAddress> {
  /** A part of its memory. */
  getSlice(offset: MemoryRegionAddress, count: number): VolatileSlice;
}

/**
 * Accesses a part of a range, for {@linkcode IoMemory.access}.
 *
 * @param total Bytes of the range that are done already.
 * @param count Bytes of the range in this target, from `offset`.
 * @param offset Where they begin in the target.
 * @param target What holds them.
 * @returns Bytes that were accessed: `count`, or fewer, and 0 to stop.
 */
export type AccessCallback<T extends AccessTarget = AccessTarget> = (
  total: number,
  count: number,
  offset: MemoryRegionAddress,
  target: T,
) => number;

/**
 * Memory that devices access by address. Mirrors the trait `GuestMemory` of 0.18, which both guest
 * physical memory ({@linkcode GuestMemory}) and memory behind an IOMMU ({@linkcode IommuMemory})
 * satisfy: a device written against it works with either.
 *
 * Everything follows from {@linkcode IoMemory.access}: which parts a range consists of, and whether
 * it may be accessed.
 */
export abstract class IoMemory implements Bytes<GuestAddress> {
  /**
   * Calls a function for each part of a range that lies in one piece of memory, in order, until the
   * range is done, a hole is met or the function returns 0.
   *
   * @param count Bytes of the range.
   * @param addr Where it begins.
   * @param permissions What will be done with it.
   * @param callback The function. Where it returns less than it was asked, it is called again for
   * the rest.
   * @returns Bytes that were accessed.
   * @throws {InvalidGuestAddress} The first byte is in no region.
   * @throws {IommuError} The range may not be accessed so. Nothing of it was then.
   * @throws {CallbackOutOfRange} The function returned more than it was asked.
   */
  abstract access(
    count: number,
    addr: GuestAddress,
    permissions: Permissions,
    callback: AccessCallback,
  ): number;

  /**
   * Whether all of a range can be accessed. A range of zero bytes always can.
   *
   * @param base Where the range begins.
   * @param length Bytes.
   * @param permissions What will be done with it.
   */
  abstract checkRange(base: GuestAddress, length: number, permissions?: Permissions): boolean;

  /** The guest physical memory, where addresses are physical; `undefined` where they are not. */
  abstract get physicalMemory(): GuestMemory | undefined;

  /**
   * A range as slices, one for each piece of memory it lies in. A range of zero bytes has none.
   *
   * @param addr Where it begins.
   * @param count Bytes.
   * @param permissions What will be done with them.
   * @returns The slices. At a hole the iterator throws {@linkcode InvalidGuestAddress} with the
   * hole's address; {@linkcode stopOnError} turns that into an end.
   */
  *getSlices(
    addr: GuestAddress,
    count: number,
    permissions: Permissions = Permissions.ReadWrite,
  ): Generator<VolatileSlice, void, void> {
    const slices = this.#slices(addr, count, permissions);
    let done = 0;
    for (const slice of slices) {
      yield slice;
      done += slice.len;
    }
    // An access at the hole says what is wrong there, in physical addresses.
    if (done < count) {
      const hole = addr + done as GuestAddress;
      this.access(1, hole, permissions, () => 0);
      throw new InvalidGuestAddress(hole);
    }
  }

  /** Copies from memory into a buffer: see {@linkcode Bytes.read}. */
  read(buf: Uint8Array, addr: GuestAddress): number {
    return this.access(
      buf.length,
      addr,
      Permissions.Read,
      (total, count, offset, target) => target.read(buf.subarray(total, total + count), offset),
    );
  }

  /** Copies from a buffer into memory: see {@linkcode Bytes.write}. */
  write(buf: Uint8Array, addr: GuestAddress): number {
    return this.access(
      buf.length,
      addr,
      Permissions.Write,
      (total, count, offset, target) => target.write(buf.subarray(total, total + count), offset),
    );
  }

  /** Fills a buffer from memory: see {@linkcode Bytes.readSlice}. */
  readSlice(buf: Uint8Array, addr: GuestAddress): void {
    demandAll(buf.length, this.read(buf, addr));
  }

  /** Copies all of a buffer into memory: see {@linkcode Bytes.writeSlice}. */
  writeSlice(buf: Uint8Array, addr: GuestAddress): void {
    demandAll(buf.length, this.write(buf, addr));
  }

  /** Reads a value: see {@linkcode Bytes.readObj}. */
  readObj<T>(codec: ByteValued<T>, addr: GuestAddress): T {
    this.demandLarge(codec, addr);
    return readSplit(this, codec, addr);
  }

  /** Writes a value: see {@linkcode Bytes.writeObj}. */
  writeObj<T>(codec: ByteValued<T>, value: T, addr: GuestAddress): void {
    writeSplit(this, codec, value, addr);
  }

  /** Reads an integer atomically: see {@linkcode Bytes.load}. It has to lie in one region. */
  load<T extends number | bigint>(codec: AtomicAccess<T>, addr: GuestAddress): T {
    return this.#atomic(codec, addr, Permissions.Read, (target, at) => target.load(codec, at));
  }

  /** Writes an integer atomically: see {@linkcode Bytes.store}. It has to lie in one region. */
  store<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: GuestAddress): void {
    this.#atomic(codec, addr, Permissions.Write, (target, at) => {
      target.store(codec, value, at);
      return value;
    });
  }

  /** Puts in a value and returns the old one: see {@linkcode Bytes.exchange}. */
  exchange<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: GuestAddress): T {
    return this.#atomic(
      codec,
      addr,
      Permissions.ReadWrite,
      (target, at) => target.exchange(codec, value, at),
    );
  }

  /** Puts in a value where the old one is as expected: see {@linkcode Bytes.compareExchange}. */
  compareExchange<T extends number | bigint>(
    codec: AtomicAccess<T>,
    expected: T,
    replacement: T,
    addr: GuestAddress,
  ): T {
    return this.#atomic(
      codec,
      addr,
      Permissions.ReadWrite,
      (target, at) => target.compareExchange(codec, expected, replacement, at),
    );
  }

  /** Adds to an integer and returns the old value: see {@linkcode Bytes.fetchAdd}. */
  fetchAdd<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: GuestAddress): T {
    return this.#atomic(
      codec,
      addr,
      Permissions.ReadWrite,
      (target, at) => target.fetchAdd(codec, value, at),
    );
  }

  /** Subtracts from an integer and returns the old value: see {@linkcode Bytes.fetchSub}. */
  fetchSub<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: GuestAddress): T {
    return this.#atomic(
      codec,
      addr,
      Permissions.ReadWrite,
      (target, at) => target.fetchSub(codec, value, at),
    );
  }

  /** Ands an integer and returns the old value: see {@linkcode Bytes.fetchAnd}. */
  fetchAnd<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: GuestAddress): T {
    return this.#atomic(
      codec,
      addr,
      Permissions.ReadWrite,
      (target, at) => target.fetchAnd(codec, value, at),
    );
  }

  /** Ors an integer and returns the old value: see {@linkcode Bytes.fetchOr}. */
  fetchOr<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: GuestAddress): T {
    return this.#atomic(
      codec,
      addr,
      Permissions.ReadWrite,
      (target, at) => target.fetchOr(codec, value, at),
    );
  }

  /** Xors an integer and returns the old value: see {@linkcode Bytes.fetchXor}. */
  fetchXor<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: GuestAddress): T {
    return this.#atomic(
      codec,
      addr,
      Permissions.ReadWrite,
      (target, at) => target.fetchXor(codec, value, at),
    );
  }

  /** Reads from a stream into memory: see {@linkcode Bytes.readVolatileFrom}. */
  readVolatileFrom(addr: GuestAddress, src: ReadSource, count: number): number {
    const done = readVectored(() => this.#slices(addr, count, Permissions.Write), src);
    if (done !== undefined) return done;
    return this.#untilShort(
      count,
      addr,
      Permissions.Write,
      (target, offset, length) => target.readVolatileFrom(offset, src, length),
    );
  }

  /** Reads exactly from a stream into memory: see {@linkcode Bytes.readExactVolatileFrom}. */
  readExactVolatileFrom(addr: GuestAddress, src: ReadSource, count: number): void {
    const completed = this.readVolatileFrom(addr, src, count);
    if (completed !== count) this.#readRest(addr, src, count, completed);
  }

  #readRest(addr: GuestAddress, src: ReadSource, count: number, completed: number): void {
    while (this.#goesOn(addr, completed, count, Permissions.Write)) {
      const done = this.readVolatileFrom(addr + completed as GuestAddress, src, count - completed);
      if (done === 0) break;
      completed += done;
    }
    demandAll(count, completed);
  }

  /** Writes memory to a stream: see {@linkcode Bytes.writeVolatileTo}. */
  writeVolatileTo(addr: GuestAddress, dst: WriteSink, count: number): number {
    const done = writeVectored(() => this.#slices(addr, count, Permissions.Read), dst);
    if (done !== undefined) return done;
    return this.#untilShort(
      count,
      addr,
      Permissions.Read,
      (target, offset, length) => target.writeVolatileTo(offset, dst, length),
    );
  }

  /** Writes memory exactly to a stream: see {@linkcode Bytes.writeAllVolatileTo}. */
  writeAllVolatileTo(addr: GuestAddress, dst: WriteSink, count: number): void {
    const completed = this.writeVolatileTo(addr, dst, count);
    if (completed !== count) this.#writeRest(addr, dst, count, completed);
  }

  #writeRest(addr: GuestAddress, dst: WriteSink, count: number, completed: number): void {
    let last = completed;
    while (last > 0 && this.#goesOn(addr, completed, count, Permissions.Read)) {
      last = this.writeVolatileTo(addr + completed as GuestAddress, dst, count - completed);
      completed += last;
    }
    if (last === 0) throw new IOError("WriteZero");
    demandAll(count, completed);
  }

  /**
   * Throws unless the bytes of a large value are there, before memory is taken to put it together.
   */
  protected demandLarge(codec: ByteValued<unknown>, addr: GuestAddress): void {
    const size = codec.byteLength;
    if (size <= SCRATCH_SIZE) return;
    demandAll(size, this.access(size, addr, Permissions.Read, (_total, count) => count));
  }

  // The slices of a range up to a hole.
  #slices(addr: GuestAddress, count: number, permissions: Permissions): VolatileSlice[] {
    const slices: VolatileSlice[] = [];
    this.access(count, addr, permissions, (_total, length, offset, target) => {
      slices.push(sliceOf(target, offset, length));
      return length;
    });
    return slices;
  }

  // An atomic access, which has to lie in one piece of memory.
  #atomic<T>(
    codec: ByteValued<T>,
    addr: GuestAddress,
    permissions: Permissions,
    operate: (target: AccessTarget, offset: MemoryRegionAddress) => T,
  ): T {
    const size = codec.byteLength;
    let result: T | undefined;
    this.access(size, addr, permissions, (_total, count, offset, target) => {
      if (count < size) {
        throw new InvalidBackendAddress(
          `Cannot access ${size} bytes at ${hex(addr)} atomically: they lie in two regions`,
        );
      }
      result = operate(target, offset);
      return count;
    });
    return result as T;
  }

  // One stream operation for each piece of memory, ended by the first that is short, so that what
  // was transferred is a prefix.
  #untilShort(
    count: number,
    addr: GuestAddress,
    permissions: Permissions,
    transfer: (target: AccessTarget, offset: MemoryRegionAddress, length: number) => number,
  ): number {
    let short = false;
    return this.access(count, addr, permissions, (_total, length, offset, target) => {
      if (short) return 0;
      const done = transfer(target, offset, length);
      short = done < length;
      return done;
    });
  }

  // Whether an exact transfer has more to do, and memory to do it with.
  #goesOn(addr: GuestAddress, completed: number, count: number, permissions: Permissions): boolean {
    return completed > 0 && completed < count &&
      this.checkRange(addr + completed as GuestAddress, 1, permissions);
  }
}

/**
 * Refuses what is no number of bytes.
 *
 * @throws {RangeError} It is negative, or no integer.
 */
export function checkCount(count: number): void {
  if (Number.isInteger(count) && count >= 0) return;
  throw new RangeError(`Cannot access ${count} bytes of memory: not an integer from 0`);
}

/** A slice of a target, which must be as long as was asked whatever the target is. */
export function sliceOf(
  target: AccessTarget,
  offset: MemoryRegionAddress,
  count: number,
): VolatileSlice {
  let slice;
  try {
    slice = target.getSlice(offset, count);
  } catch (error) {
    throw toGuestMemoryError(error);
  }
  if (slice.len === count) return slice;
  throw new InvalidBackendAddress(
    `Cannot use a slice of ${slice.len} bytes: ${count} were asked of ${target}`,
  );
}

function demandAll(expected: number, completed: number): void {
  if (completed !== expected) throw new PartialBuffer(expected, completed);
}
