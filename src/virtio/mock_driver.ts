/**
 * The driver's side of a virtqueue, for tests of a device.
 *
 * @module
 */
import type { GuestAddress } from "../address.ts";
import { guestAddress } from "../codec/guest_address.ts";
import { u16, u32 } from "../codec/scalar.ts";
import { type Struct, struct } from "../codec/struct.ts";
import type { ByteValued } from "../codec/byte_valued.ts";
import { InvalidQueue, VirtqueueError } from "../error/virtqueue_error.ts";
import type { IoMemory } from "../guest/io_memory.ts";
import { byteLength } from "../host/bytes.ts";
import { checkCount, checkNumber } from "../text/argument.ts";
import { AVAIL_NO_INTERRUPT, availRingLength, checkState, DESC_INDIRECT } from "./layout.ts";
import { DESC_NEXT, DESC_SIZE, DESC_WRITE, descTableLength } from "./layout.ts";
import { USED_NO_NOTIFY, usedRingLength, type VirtqueueState } from "./layout.ts";

/** How a {@linkcode MockDriver} sets its queue up. */
export interface MockDriverOptions {
  /** Descriptors of the queue: a power of two up to 32768. */
  readonly size: number;
  /** Where in guest memory the rings begin, and the buffers after them: a multiple of 16. */
  readonly base: GuestAddress;
  /** Bytes for all of it. */
  readonly length: number;
  /** Whether the event index is negotiated; false by default. */
  readonly eventIdx?: boolean;
  /** Whether indirect descriptors are negotiated; false by default. */
  readonly indirect?: boolean;
  /** The index at which both rings begin, of 16 bits: near 65536, it wraps soon; 0 by default. */
  readonly firstIndex?: number;
}

/** How a request is made. */
export interface MockRequestOptions {
  /** Whether its descriptors are in an indirect table; false by default. */
  readonly indirect?: boolean;
}

/** A request that the device gave back. */
export interface UsedRequest {
  /** What {@linkcode MockDriver.add} returned. */
  readonly head: number;
  /** The bytes that the device says it wrote. */
  readonly written: Uint8Array<ArrayBuffer>;
}

/** A request that the device has. */
interface Pending {
  readonly descriptors: readonly number[];
  readonly buffers: readonly Buffer[];
  readonly writable: readonly Buffer[];
}

interface Buffer {
  readonly addr: GuestAddress;
  readonly length: number;
}

const Descriptor: Struct<{
  addr: ByteValued<GuestAddress>;
  len: ByteValued<number>;
  flags: ByteValued<number>;
  next: ByteValued<number>;
}> = struct({ addr: guestAddress, len: u32, flags: u16, next: u16 });

/**
 * A driver that follows the specification: it puts requests into the rings of a queue, and takes
 * them back. Mirrors `MockSplitQueue`, and drives it.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryHeap } from "@vmm/guest-memory";
 * import { MockDriver, Virtqueue } from "@vmm/guest-memory/virtio";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x10000]]);
 * const driver = new MockDriver(memory, { size: 8, base: GuestAddress(0), length: 0x10000 });
 * using queue = new Virtqueue(memory, driver.state);
 * const head = driver.add([Uint8Array.of(1, 2)], [1]);
 * const chain = queue.pop()!;
 * chain.writable.writeSlice(Uint8Array.of(3));
 * queue.addUsed(chain, 1);
 * assertEquals(driver.takeUsed(), { head, written: Uint8Array.of(3) });
 * ```
 */
export class MockDriver {
  /** Where the queue is: what a device is set up with. */
  readonly state: Required<VirtqueueState>;
  readonly #memory: IoMemory;
  readonly #free: number[] = [];
  readonly #pending: Map<number, Pending> = new Map();
  readonly #space: Space;
  #availIndex: number;
  #usedIndex: number;
  #added = 0;
  #wantsNotification = true;

  /**
   * Lays a queue out in memory, and clears its rings.
   *
   * @param memory The memory as the driver sees it.
   * @param options How.
   * @throws {InvalidQueue} There is not enough memory, or a number is impossible.
   */
  constructor(memory: IoMemory, options: MockDriverOptions) {
    const { size, base, length, eventIdx = false, indirect = false, firstIndex = 0 } = options;
    const common = { size, eventIdx, indirect, nextAvail: firstIndex, nextUsed: firstIndex };
    // The numbers are possible: places can be computed from them.
    checkState({ ...common, descTable: base, availRing: base, usedRing: base });
    checkNumber("length", length);
    const availRing = base + descTableLength(size) as GuestAddress;
    const usedRing = Math.ceil((availRing + availRingLength(size)) / 4) * 4 as GuestAddress;
    const end = Math.ceil((usedRing + usedRingLength(size)) / DESC_SIZE) * DESC_SIZE;
    this.state = checkState({ ...common, descTable: base, availRing, usedRing });
    if (!(end <= base + length) || !memory.checkRange(base, length)) {
      throw new InvalidQueue(`its rings do not fit into ${length} bytes`);
    }
    this.#memory = memory;
    this.#space = new Space(end, base + length);
    this.#availIndex = this.#usedIndex = firstIndex;
    memory.writeSlice(new Uint8Array(end - base), base);
    // Each side begins with its own index, and wants to be notified of the first request.
    const places = [availRing + 2, availRing + 4 + 2 * size, usedRing + 2, usedRing + 4 + 8 * size];
    for (const at of places) memory.writeObj(u16, firstIndex, at as GuestAddress);
    for (let index = size - 1; index >= 0; index--) this.#free.push(index);
  }

  /** Requests that the device has. */
  get pending(): number {
    return this.#pending.size;
  }

  /**
   * Makes a request available to the device.
   *
   * @param readable The bytes that the device reads, a buffer each.
   * @param writable The lengths of the buffers that it writes.
   * @param options How.
   * @returns Its first descriptor's index; `undefined` if there are no descriptors, or no memory,
   * until requests were taken back.
   * @throws {RangeError} A length is impossible, or there are no buffers, or more than the queue has
   * descriptors.
   * @throws {VirtqueueError} Indirect descriptors were not negotiated.
   */
  add(
    readable: readonly Uint8Array[],
    writable: readonly number[] = [],
    options: MockRequestOptions = {},
  ): number | undefined {
    const lengths = [...readable.map(byteLength), ...writable];
    for (const length of lengths) checkCount(length, "length");
    const count = lengths.length;
    if (count === 0 || count > this.state.size) {
      throw new RangeError(`Cannot make a request of ${count} buffers: the queue has \
${this.state.size} descriptors`);
    }
    const { indirect = false } = options;
    if (indirect && !this.state.indirect) {
      throw new VirtqueueError("Cannot use an indirect table: it was not negotiated");
    }
    if (this.#free.length < (indirect ? 1 : count)) return undefined;
    const buffers = this.#space.take(indirect ? [...lengths, count * DESC_SIZE] : lengths);
    if (buffers === undefined) return undefined;
    for (const [i, bytes] of readable.entries()) this.#memory.writeSlice(bytes, buffers[i]!.addr);
    const descriptors = this.#free.splice(-(indirect ? 1 : count));
    const head = descriptors[0]!;
    const table = indirect ? buffers[count]! : undefined;
    for (let i = 0; i < count; i++) {
      const isLast = i === count - 1;
      const next = isLast ? 0 : table === undefined ? descriptors[i + 1]! : i + 1;
      const flags = (isLast ? 0 : DESC_NEXT) | (i < readable.length ? 0 : DESC_WRITE);
      const at = table === undefined
        ? this.#descriptor(descriptors[i]!)
        : table.addr + i * DESC_SIZE;
      const { addr, length: len } = buffers[i]!;
      this.#memory.writeObj(Descriptor, { addr, len, flags, next }, at as GuestAddress);
    }
    if (table !== undefined) {
      const { addr, length: len } = table;
      const reference = { addr, len, flags: DESC_INDIRECT, next: 0 };
      this.#memory.writeObj(Descriptor, reference, this.#descriptor(head));
    }
    this.#pending.set(head, {
      descriptors,
      buffers,
      writable: buffers.slice(readable.length, count),
    });
    this.#publish(head);
    return head;
  }

  /**
   * Whether the device wants to be notified of the requests that were added since the last call.
   */
  needsNotification(): boolean {
    const { eventIdx, size, usedRing } = this.state;
    const count = this.#added;
    this.#added = 0;
    if (count === 0) return false;
    if (!eventIdx) return (this.#memory.load(u16, usedRing) & USED_NO_NOTIFY) === 0;
    // Section 2.7.10: whether the index passed avail_event since then.
    const event = this.#memory.load(u16, usedRing + 4 + 8 * size as GuestAddress);
    return (this.#availIndex - event - 1 & 0xffff) < count;
  }

  /**
   * Asks the device to notify the driver of requests that it gives back, or not to.
   *
   * @param wanted Whether it should.
   * @returns Whether some are there already.
   */
  notifyOnUsed(wanted: boolean): boolean {
    this.#wantsNotification = wanted;
    if (wanted) return this.#awaitsNotification();
    if (!this.state.eventIdx) this.#memory.store(u16, AVAIL_NO_INTERRUPT, this.state.availRing);
    return this.#readUsedIndex() !== this.#usedIndex;
  }

  /**
   * Takes the next request that the device gave back. If there is none, the device will notify the
   * driver, unless that is switched off.
   *
   * @returns The request; `undefined` if there is none.
   * @throws {VirtqueueError} The device broke a rule.
   */
  takeUsed(): UsedRequest | undefined {
    const next = this.#usedIndex;
    if (this.#readUsedIndex() === next && !this.#awaitsNotification()) return undefined;
    const { size, usedRing } = this.state;
    const entry = usedRing + 4 + 8 * (next % size);
    const head = this.#memory.readObj(u32, entry as GuestAddress);
    const length = this.#memory.readObj(u32, entry + 4 as GuestAddress);
    const pending = this.#pending.get(head);
    if (pending === undefined) {
      throw new VirtqueueError(`The device gave back chain ${head}, which it does not have`);
    }
    const space = pending.writable.reduce((sum, buffer) => sum + buffer.length, 0);
    if (length > space) {
      throw new VirtqueueError(`The device claims ${length} bytes of chain ${head}, of ${space}`);
    }
    const written = new Uint8Array(length);
    let done = 0;
    for (const { addr, length: size } of pending.writable) {
      const part = written.subarray(done, done + size);
      this.#memory.readSlice(part, addr);
      done += part.length;
    }
    this.#pending.delete(head);
    this.#free.push(...pending.descriptors);
    this.#space.giveBack(pending.buffers);
    this.#usedIndex = next + 1 & 0xffff;
    return { head, written };
  }

  #descriptor(index: number): GuestAddress {
    return this.state.descTable + index * DESC_SIZE as GuestAddress;
  }

  #publish(head: number): void {
    const { size, availRing } = this.state;
    const slot = this.#availIndex % size;
    this.#memory.writeObj(u16, head, availRing + 4 + 2 * slot as GuestAddress);
    this.#availIndex = this.#availIndex + 1 & 0xffff;
    this.#added++;
    this.#memory.store(u16, this.#availIndex, availRing + 2 as GuestAddress);
  }

  #awaitsNotification(): boolean {
    if (this.#wantsNotification) {
      const { eventIdx, size, availRing } = this.state;
      // Section 2.7.7: used_event, behind the ring; without event index, the flags.
      const at = eventIdx ? availRing + 4 + 2 * size : availRing;
      this.#memory.store(u16, eventIdx ? this.#usedIndex : 0, at as GuestAddress);
    }
    return this.#readUsedIndex() !== this.#usedIndex;
  }

  #readUsedIndex(): number {
    const index = this.#memory.load(u16, this.state.usedRing + 2 as GuestAddress);
    const count = index - this.#usedIndex & 0xffff;
    if (count <= this.#pending.size) return index;
    throw new VirtqueueError(`The device gave back ${count} chains of ${this.#pending.size}`);
  }
}

// Memory for buffers: each is used again for another of its size, rounded up to a power of two.
class Space {
  readonly #idle: Map<number, number[]> = new Map();
  readonly #end: number;
  #next: number;

  constructor(start: number, end: number) {
    this.#next = start;
    this.#end = end;
  }

  take(lengths: readonly number[]): Buffer[] | undefined {
    const buffers: Buffer[] = [];
    for (const length of lengths) {
      const addr = this.#takeOne(roundUp(length));
      if (addr === undefined) {
        this.giveBack(buffers);
        return undefined;
      }
      buffers.push({ addr: addr as GuestAddress, length });
    }
    return buffers;
  }

  giveBack(buffers: readonly Buffer[]): void {
    for (const { addr, length } of buffers) {
      const size = roundUp(length);
      const idle = this.#idle.get(size);
      if (idle === undefined) this.#idle.set(size, [addr]);
      else idle.push(addr);
    }
  }

  #takeOne(size: number): number | undefined {
    const idle = this.#idle.get(size)?.pop();
    if (idle !== undefined) return idle;
    const addr = this.#next;
    if (addr + size > this.#end) return undefined;
    this.#next += size;
    return addr;
  }
}

// Indirect tables have to be aligned to 16 bytes.
function roundUp(length: number): number {
  return 2 ** Math.max(4, Math.ceil(Math.log2(length || 1)));
}
