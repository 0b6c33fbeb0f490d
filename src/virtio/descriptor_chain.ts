/**
 * A request of a driver.
 *
 * @module
 */
import { ChainUsed } from "../error/virtqueue_error.ts";
import { showAsText } from "../text/inspect.ts";
import { byteSize } from "../text/number_format.ts";
import { ReadablePart, WritablePart } from "./chain_part.ts";
import type { QueueMemory } from "./queue_memory.ts";
import type { Segments } from "./segments.ts";

/**
 * Refuses to end a chain that is not in use, or was taken from a queue with another memory.
 *
 * @param chain The chain.
 * @param source The memory of the queue.
 * @param written Bytes that the device wrote.
 * @returns Its head, which is also a public field that anybody may have changed.
 */
export let checkChain: (chain: DescriptorChain, source: QueueMemory, written: number) => number;

/** Ends a chain, and returns what the queue may use for another one. */
export let endChain: (chain: DescriptorChain) => Segments;

/**
 * A chain of descriptors that the driver made available: buffers to read, then buffers to write.
 * Mirrors `DescriptorChain`. It was checked as a whole when it was taken, and no descriptor is read
 * a second time.
 *
 * It is the device's until it is given back by {@linkcode Virtqueue.addUsed}; chains may be given
 * back in any order.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryHeap } from "@vmm/guest-memory";
 * import { MockDriver, Virtqueue } from "@vmm/guest-memory/virtio";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x4000]]);
 * const driver = new MockDriver(memory, { size: 8, base: GuestAddress(0), length: 0x4000 });
 * using queue = new Virtqueue(memory, driver.state);
 * driver.add([Uint8Array.of(1, 2)], [2]);
 *
 * for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
 *   const request = new Uint8Array(chain.readable.remaining);
 *   chain.readable.readSlice(request);
 *   chain.writable.writeSlice(request.reverse());
 *   queue.addUsed(chain, request.length);
 * }
 * assertEquals(driver.takeUsed()?.written, Uint8Array.of(2, 1));
 * ```
 */
export class DescriptorChain {
  static {
    showAsText(this);
    checkChain = (chain, source, written) => {
      const segments = chain.#segments;
      if (segments.source !== source) {
        throw new TypeError("Cannot give a chain back to a queue that it was not taken from");
      }
      if (segments.generation !== chain.#generation) throw new ChainUsed();
      const { writableBytes } = segments;
      if (!(Number.isInteger(written) && written >= 0 && written <= writableBytes)) {
        throw new RangeError(`Cannot report ${written} bytes written of ${writableBytes}`);
      }
      return segments.head;
    };
    endChain = (chain) => {
      const segments = chain.#segments;
      segments.generation++;
      return segments;
    };
  }

  /** The index of its first descriptor, by which the driver knows it. */
  declare readonly head: number;
  /** The bytes that the driver gives. */
  declare readonly readable: ReadablePart;
  /** The space that the device fills. */
  declare readonly writable: WritablePart;
  readonly #segments: Segments;
  readonly #generation: number;

  /**
   * Made by {@linkcode Virtqueue.pop}.
   *
   * @param segments The buffers.
   */
  constructor(segments: Segments) {
    this.#segments = segments;
    this.#generation = segments.generation;
    this.head = segments.head;
    this.readable = new ReadablePart(segments, 0, 0, segments.readableBytes);
    this.writable = new WritablePart(
      segments,
      segments.readableCount,
      0,
      segments.writableBytes,
    );
  }

  /** Whether the chain was given back to the driver. */
  get isUsed(): boolean {
    return this.#segments.generation !== this.#generation;
  }

  /** One line: the head, and what is left to read and to write. */
  toString(): string {
    if (this.isUsed) return `DescriptorChain ${this.head} (used)`;
    const [readable, writable] = [this.readable, this.writable].map((p) => byteSize(p.remaining));
    return `DescriptorChain ${this.head}: ${readable} to read, ${writable} to write`;
  }
}
