/**
 * One of the three areas of a virtqueue, as typed arrays.
 *
 * @module
 */
import type { GuestAddress } from "../address.ts";
import type { Bitmap } from "../bitmap/bitmap.ts";
import { u16 } from "../codec/scalar.ts";
import { HostAddressNotAvailable } from "../error/guest_memory_error.ts";
import { InvalidQueue } from "../error/virtqueue_error.ts";
import type { IoMemory } from "../guest/io_memory.ts";
import type { Permissions } from "../permissions.ts";
import { hex } from "../text/number_format.ts";
import { VolatileSlice } from "../volatile/volatile_slice.ts";

/**
 * A descriptor table, an available ring or a used ring. Its arrays begin at its first byte and end
 * at its last, so that no index of a guest leaves it.
 *
 * Where the area is one piece of host memory, the arrays are that memory, and become empty with it.
 * Elsewhere (over a boundary of two regions, in memory that is protected, in a custom region, behind
 * an IOMMU) they are a copy: `fetch` makes bytes current before they are read, `publish` takes them
 * over after they were written.
 */
export class RingArea {
  /** The area as 16-bit integers. */
  u16: Uint16Array;
  /** The area as 32-bit integers, if it begins at a multiple of 4; without the last two bytes. */
  u32: Uint32Array;
  readonly #addr: GuestAddress;
  // What a copy is of; undefined where the arrays are the memory.
  readonly #copied: IoMemory | undefined;
  readonly #bitmap: Bitmap | undefined;
  readonly #bitmapStart: number;

  /**
   * Finds an area in memory.
   *
   * @param memory The memory.
   * @param name What the area is.
   * @param addr Where it begins: a multiple of 2, or of 4 if it is read as 32-bit integers.
   * @param length Its bytes.
   * @param permissions What will be done with it.
   * @throws {InvalidQueue} It is not in memory.
   */
  constructor(
    memory: IoMemory,
    name: string,
    addr: GuestAddress,
    length: number,
    permissions: Permissions,
  ) {
    if (!memory.checkRange(addr, length, permissions)) {
      throw new InvalidQueue(`its ${name}, ${length} bytes at ${hex(addr)}, is not in memory`);
    }
    this.#addr = addr;
    // What an IOMMU translates may be somewhere else at the next access.
    const isPhysical = memory.physicalMemory === memory;
    const slice = isPhysical ? hostSlice(memory, addr, length, permissions) : undefined;
    // The used ring is two bytes longer than a multiple of 4.
    const words = Math.floor(length / 4);
    const start = slice?.start ?? 0;
    const unit = addr % 4 === 0 ? 4 : 2;
    if (slice !== undefined && start % unit === 0) {
      const { buffer } = slice.memory;
      this.u16 = new Uint16Array(buffer, start, length / 2);
      // Even an empty one has to begin at a multiple of 4.
      this.u32 = unit === 4 ? new Uint32Array(buffer, start, words) : new Uint32Array(0);
      this.#copied = undefined;
    } else {
      const buffer = new ArrayBuffer(length);
      this.u16 = new Uint16Array(buffer);
      this.u32 = new Uint32Array(buffer, 0, words);
      this.#copied = memory;
    }
    this.#bitmap = slice?.tracking?.bitmap;
    this.#bitmapStart = slice?.tracking?.start ?? 0;
  }

  /** Whether the arrays are empty: the memory was closed, or its protection changed. */
  get isLost(): boolean {
    return this.u16.length === 0;
  }

  /** Whether the arrays are a copy, which has to be made current. */
  get isCopy(): boolean {
    return this.#copied !== undefined;
  }

  /** Empties the arrays. */
  close(): void {
    this.u16 = new Uint16Array(0);
    this.u32 = new Uint32Array(0);
  }

  /**
   * Makes bytes of the arrays current.
   *
   * @param offset The first byte.
   * @param length How many: 2, or a multiple.
   */
  fetch(offset: number, length: number): void {
    if (this.#copied !== undefined) this.#copyIn(this.#copied, offset, length);
  }

  /**
   * Says that bytes of the arrays were written: marks them dirty.
   *
   * @param offset The first byte.
   * @param length How many: 2, or a multiple.
   */
  publish(offset: number, length: number): void {
    if (this.#copied !== undefined) this.#copyOut(this.#copied, offset, length);
    else this.markDirty(offset, length);
  }

  /**
   * Writes a 16-bit integer after all that was written before. {@linkcode RingArea.markDirty} has to
   * follow.
   *
   * @param index Which integer.
   * @param value Its value.
   */
  store(index: number, value: number): void {
    Atomics.store(this.u16, index, value);
    if (this.#copied !== undefined) this.#copyOut(this.#copied, index * 2, 2);
  }

  /**
   * Marks bytes dirty that {@linkcode RingArea.store} wrote. Those of a copy were marked by the
   * memory.
   *
   * @param offset The first byte.
   * @param length How many.
   */
  markDirty(offset: number, length: number): void {
    if (this.#copied === undefined) this.#bitmap?.markDirty(this.#bitmapStart + offset, length);
  }

  #copyIn(memory: IoMemory, offset: number, length: number): void {
    const addr = this.#addr + offset as GuestAddress;
    if (length === 2) this.u16[offset / 2] = load(memory, addr);
    else memory.readSlice(new Uint8Array(this.u16.buffer, offset, length), addr);
  }

  #copyOut(memory: IoMemory, offset: number, length: number): void {
    const addr = this.#addr + offset as GuestAddress;
    if (length === 2) store(memory, this.u16[offset / 2]!, addr);
    else memory.writeSlice(new Uint8Array(this.u16.buffer, offset, length), addr);
  }
}

// A region that is not host memory has no atomic accesses. It is asked for the bytes, in order.
function load(memory: IoMemory, addr: GuestAddress): number {
  try {
    return memory.load(u16, addr);
  } catch (error) {
    if (!(error instanceof HostAddressNotAvailable)) throw error;
    return memory.readObj(u16, addr);
  }
}

function store(memory: IoMemory, value: number, addr: GuestAddress): void {
  try {
    memory.store(u16, value, addr);
  } catch (error) {
    if (!(error instanceof HostAddressNotAvailable)) throw error;
    memory.writeObj(u16, value, addr);
  }
}

// A range as one slice, if JavaScript has typed arrays of all of it.
function hostSlice(
  memory: IoMemory,
  addr: GuestAddress,
  length: number,
  permissions: Permissions,
): VolatileSlice | undefined {
  let slice: VolatileSlice | undefined;
  memory.access(length, addr, permissions, (_total, count, offset, target) => {
    if (count === length) slice = target.hostSlice?.getSlice(offset, length);
    return 0;
  });
  if (slice === undefined) return undefined;
  // A class derived from VolatileSlice may override accesses, and return any slice.
  const isPlain = Object.getPrototypeOf(slice) === VolatileSlice.prototype && slice.len === length;
  return isPlain && slice.memory.canAccess(slice.start, slice.len) ? slice : undefined;
}
