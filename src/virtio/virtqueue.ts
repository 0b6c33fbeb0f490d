/**
 * The device's side of a virtqueue.
 *
 * @module
 */
import { MemoryClosed } from "../error/volatile_memory_error.ts";
import { InvalidAvailRingIndex, InvalidChain } from "../error/virtqueue_error.ts";
import type { GuestAddressSpace } from "../guest/address_space.ts";
import type { IoMemory } from "../guest/io_memory.ts";
import { Permissions } from "../permissions.ts";
import { checkFlag, checkNumber } from "../text/argument.ts";
import { showAsText } from "../text/inspect.ts";
import { hex } from "../text/number_format.ts";
import { checkChain, DescriptorChain, endChain } from "./descriptor_chain.ts";
import { DescriptorTable } from "./descriptor_table.ts";
import { AVAIL_NO_INTERRUPT, availRingLength, checkState, descTableLength } from "./layout.ts";
import { MAX_UNSIGNALLED, USED_NO_NOTIFY, usedRingLength, type VirtqueueState } from "./layout.ts";
import { QueueMemory } from "./queue_memory.ts";
import { RingArea } from "./ring_area.ts";
import { Segments } from "./segments.ts";

// What the used ring can say. A chain may have one byte more.
const MAX_WRITTEN = 2 ** 32 - 1;

/**
 * A split virtqueue as its device sees it (VIRTIO 1.2, section 2.7). Mirrors `Queue`.
 *
 * The three areas of the queue are found once, in the map of that moment, and again by
 * {@linkcode Virtqueue.refresh}. Nothing that a driver writes there leads out of memory: each index
 * is checked when it is read, each chain as a whole when it is taken.
 *
 * A queue is used by one thread. The rings are written as the specification orders it, so the
 * driver may run on any. What the queue writes is marked dirty.
 *
 * @example A device that answers in capitals
 * ```ts
 * import { GuestAddress, GuestMemoryHeap } from "@vmm/guest-memory";
 * import { MockDriver, Virtqueue } from "@vmm/guest-memory/virtio";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x10000]]);
 * const driver = new MockDriver(memory, { size: 16, base: GuestAddress(0), length: 0x10000 });
 * driver.add([new TextEncoder().encode("hello")], [16]);
 *
 * using queue = new Virtqueue(memory, driver.state);
 * for (let chain; (chain = queue.pop()) !== undefined;) {
 *   const text = new Uint8Array(chain.readable.remaining);
 *   chain.readable.readSlice(text);
 *   const answer = new TextEncoder().encode(new TextDecoder().decode(text).toUpperCase());
 *   chain.writable.writeSlice(answer);
 *   queue.addUsed(chain, answer.length);
 * }
 * assertEquals(queue.needsNotification(), true);
 *
 * const request = driver.takeUsed();
 * assertEquals(new TextDecoder().decode(request?.written), "HELLO");
 * ```
 */
export class Virtqueue implements Disposable {
  static {
    showAsText(this);
  }

  readonly #state: Required<VirtqueueState>;
  readonly #size: number;
  readonly #source: QueueMemory;
  // Segments of chains that were given back.
  readonly #idle: Segments[] = [];
  #table!: DescriptorTable;
  #avail!: RingArea;
  #used!: RingArea;
  // The driver's index as it was last read.
  #availIndex: number;
  #nextAvail: number;
  #nextUsed: number;
  #unsignalled: number;
  // Chains that were taken and not given back.
  #inUse = 0;
  #wantsNotification = true;

  /**
   * Takes a queue into use as the driver has set it up, or continues one from a saved state.
   * Nothing is written.
   *
   * @param memory The memory, or the address space to take its map from.
   * @param state Where the queue is; for one that was saved, {@linkcode Virtqueue.state}.
   * @throws {InvalidQueue} The size or an address is impossible, or an area is not in memory.
   */
  constructor(memory: IoMemory | GuestAddressSpace, state: VirtqueueState) {
    this.#state = checkState(state);
    const { size, nextAvail, nextUsed, unsignalled } = this.#state;
    this.#size = size;
    this.#availIndex = this.#nextAvail = nextAvail;
    this.#nextUsed = nextUsed;
    this.#unsignalled = unsignalled;
    this.#source = new QueueMemory(memory);
    try {
      this.#attach(this.#source.memory);
    } catch (error) {
      this.#source.close();
      throw error;
    }
  }

  /** Descriptors of the queue. */
  get size(): number {
    return this.#size;
  }

  /**
   * The memory that chains are accessed in, as the queue sees it.
   *
   * @throws {MemoryClosed} The queue is closed.
   */
  get memory(): IoMemory {
    return this.#source.memory;
  }

  /**
   * What a queue is made of that continues this one, on this machine or another. Chains that were
   * taken and not given back are not in it: finish them before.
   */
  get state(): Required<VirtqueueState> {
    const unsignalled = Math.min(this.#unsignalled, MAX_UNSIGNALLED);
    return {
      ...this.#state,
      ...{ nextAvail: this.#nextAvail, nextUsed: this.#nextUsed, unsignalled },
    };
  }

  /**
   * Takes the newest map of the address space, and finds the areas of the queue in it. Call it
   * between batches. Chains that are in use are accessed in the new map from now on.
   *
   * @throws {InvalidQueue} An area is not in memory any more. The old map stays in use.
   */
  refresh(): void {
    this.#source.refresh((memory) => {
      if (memory !== this.#source.memory || this.#isLost()) this.#attach(memory);
    });
  }

  /**
   * Takes the next chain that the driver made available.
   *
   * If there is none, the driver will notify the device of the next one, unless that is switched
   * off by {@linkcode Virtqueue.notifyOnAvail}.
   *
   * @returns The chain; `undefined` if there is none.
   * @throws {InvalidChain} The chain breaks a rule. It was taken: give its head back. The next call
   * takes the next one.
   * @throws {InvalidAvailRingIndex} The driver's index is impossible, or the device has as many
   * chains already as the queue has entries. No chain was taken.
   * @throws {IommuError} The rings may not be read. No chain was taken.
   */
  pop(): DescriptorChain | undefined {
    if (this.#avail.isLost || this.#table.isLost) this.#attach(this.#source.memory);
    const next = this.#nextAvail;
    const isEmpty = next === this.#availIndex && this.#readAvailIndex() === next;
    if (isEmpty && !this.#awaitsNotification()) return undefined;
    const size = this.#size;
    // A driver has no descriptors for more. One that makes up more must not fill the host's memory.
    if (this.#inUse >= size) {
      throw new InvalidAvailRingIndex(this.#availIndex, next, size, this.#inUse);
    }
    const slot = 2 + (next & size - 1);
    const avail = this.#avail;
    avail.fetch(slot * 2, 2);
    const head = avail.u16[slot]!;
    // Code of a bitmap or a region ran. It may have closed the queue or its memory, or taken this
    // chain.
    if (isEmpty || avail.isCopy) {
      if (avail.isLost || this.#table.isLost) throw new MemoryClosed();
      if (this.#nextAvail !== next) return this.pop();
    }
    const after = next + 1 & 0xffff;
    this.#nextAvail = after;
    this.#inUse++;
    const segments = this.#idle.pop() ?? new Segments(this.#source);
    try {
      this.#table.read(head, segments);
    } catch (error) {
      this.#idle.push(segments);
      // A descriptor that cannot be read, as an IOMMU refuses it, may be there later.
      if (!(error instanceof InvalidChain) && this.#nextAvail === after) {
        this.#nextAvail = next;
        this.#inUse--;
      }
      throw error;
    }
    return new DescriptorChain(segments);
  }

  /**
   * Gives a chain back to the driver. If it throws, the driver did not get the chain, and the device
   * still has it.
   *
   * @param chain The chain; or the head of one, such as that of {@linkcode InvalidChain}.
   * @param written Bytes that were written, from the first writable one on: what the driver may
   * read. The ring has 32 bits for it: 2^32, all of the longest chain, is reported as one less.
   * @throws {ChainUsed} It was given back already.
   * @throws {IommuError} The used ring may not be written.
   * @throws {AccessDenied} The same, by the protection of its memory.
   * @throws {TypeError} It was taken from another queue.
   * @throws {RangeError} The chain has less space, or the head is no integer of 16 bits.
   */
  addUsed(chain: DescriptorChain | number, written: number): void {
    checkNumber("written", written);
    for (;;) {
      if (this.#used.isLost) this.#attach(this.#source.memory);
      const head = typeof chain === "number"
        ? this.#checkHead(chain, written)
        : checkChain(chain, this.#source, written);
      const used = this.#used;
      const before = this.#nextUsed;
      const slot = before & this.#size - 1;
      used.u32[1 + slot * 2] = head;
      used.u32[2 + slot * 2] = Math.min(written, MAX_WRITTEN);
      // If this throws, nothing was given back. Code of a bitmap may run.
      used.publish(4 + slot * 8, 8);
      if (used.isLost) throw new MemoryClosed();
      if (this.#nextUsed !== before) continue;
      const next = before + 1 & 0xffff;
      // The driver may see the index only after the entry.
      used.store(1, next);
      // Code that ran meanwhile may have given a chain back, in this place.
      if (this.#nextUsed !== before) continue;
      this.#nextUsed = next;
      this.#unsignalled++;
      // A head may be given back that was taken before the state was saved.
      if (this.#inUse > 0) this.#inUse--;
      if (typeof chain !== "number") this.#idle.push(endChain(chain));
      used.markDirty(2, 2);
      return;
    }
  }

  /**
   * Whether the driver has to be notified of the chains that were given back since the last call.
   * Call it once after a batch.
   *
   * @throws {IommuError} The available ring may not be read. The next call asks for the same chains.
   */
  needsNotification(): boolean {
    if (this.#isLost()) this.#attach(this.#source.memory);
    if (this.#unsignalled === 0) return false;
    const { size, eventIdx } = this.#state;
    // If this throws, the next call asks for the same chains.
    const read = this.#readAvail(eventIdx ? 2 + size : 0);
    const count = this.#unsignalled;
    this.#unsignalled = 0;
    if (!eventIdx) return (read & AVAIL_NO_INTERRUPT) === 0;
    // Section 2.7.7.2: whether the index passed used_event since then.
    return (this.#nextUsed - read - 1 & 0xffff) < count;
  }

  /**
   * Asks the driver to notify the device of chains that it makes available, or not to: a device
   * that looks by itself needs no notification. The driver may notify all the same.
   *
   * @param wanted Whether it should.
   * @returns Whether chains are there already. A device that waits for a notification has to take
   * them first.
   * @throws {InvalidAvailRingIndex} The driver's index is impossible.
   * @throws {IommuError} The rings may not be read, or not written.
   */
  notifyOnAvail(wanted: boolean): boolean {
    if (this.#isLost()) this.#attach(this.#source.memory);
    this.#wantsNotification = checkFlag("wanted", wanted) === true;
    if (wanted) return this.#awaitsNotification();
    // With an event index the driver notifies once, until the next one is set.
    if (!this.#state.eventIdx) this.#writeUsed(0, USED_NO_NOTIFY);
    return this.#readAvailIndex() !== this.#nextAvail;
  }

  /** Lets the map go. Chains cannot be accessed from then on. Closing again does nothing. */
  close(): void {
    this.#avail.close();
    this.#used.close();
    this.#source.close();
  }

  /** The same as {@linkcode Virtqueue.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** One line: the size, where the areas are, how far the device has come. */
  toString(): string {
    const { size, descTable, availRing, usedRing } = this.#state;
    return `Virtqueue of ${size} at ${hex(descTable)}, ${hex(availRing)}, ${hex(usedRing)}: ` +
      `taken to ${this.#nextAvail}, used to ${this.#nextUsed}`;
  }

  #isLost(): boolean {
    return this.#avail.isLost || this.#used.isLost || this.#table.isLost;
  }

  #attach(memory: IoMemory): void {
    const { size, descTable, availRing, usedRing, indirect } = this.#state;
    const { Read, Write } = Permissions;
    const table = new RingArea(memory, "descTable", descTable, descTableLength(size), Read);
    const avail = new RingArea(memory, "availRing", availRing, availRingLength(size), Read);
    const used = new RingArea(memory, "usedRing", usedRing, usedRingLength(size), Write);
    // Code of the memory may have closed the queue.
    this.#source.memory;
    this.#table = new DescriptorTable(table, memory, size, indirect);
    this.#avail = avail;
    this.#used = used;
  }

  // Asks for a notification of the next chain. Returns whether one came meanwhile.
  #awaitsNotification(): boolean {
    const next = this.#nextAvail;
    if (this.#wantsNotification) {
      if (this.#used.isLost) this.#attach(this.#source.memory);
      const { size, eventIdx } = this.#state;
      // Section 2.7.10: avail_event, behind the ring; without event index, the flags.
      if (eventIdx) this.#writeUsed(2 + size * 4, next);
      else this.#writeUsed(0, 0);
    }
    return this.#readAvailIndex() !== next;
  }

  #readAvailIndex(): number {
    const index = this.#readAvail(1);
    const size = this.#size;
    if ((index - this.#nextAvail & 0xffff) > size) {
      throw new InvalidAvailRingIndex(index, this.#nextAvail, size, this.#inUse);
    }
    return this.#availIndex = index;
  }

  // Before what it refers to is read: the load is ordered.
  #readAvail(at: number): number {
    const avail = this.#avail;
    avail.fetch(at * 2, 2);
    // Code of a region or a bitmap may have closed the queue or its memory.
    if (avail.isLost) throw new MemoryClosed();
    return Atomics.load(avail.u16, at);
  }

  // Before the driver's index is read again: the store is ordered.
  #writeUsed(at: number, value: number): void {
    const used = this.#used;
    // A copy does not know what is in memory: what a queue before this one wrote.
    if (used.u16[at] === value && !used.isCopy) return;
    used.store(at, value);
    used.markDirty(at * 2, 2);
  }

  #checkHead(head: number, written: number): number {
    // Also one beyond the table, as a driver's ring may name it.
    if (!(Number.isInteger(head) && head >= 0 && head <= 0xffff)) {
      throw new RangeError(`Cannot give chain ${head} back: it is not an integer of 16 bits`);
    }
    if (Number.isInteger(written) && written >= 0 && written <= MAX_WRITTEN) return head;
    throw new RangeError(`Cannot report ${written} bytes as written`);
  }
}
