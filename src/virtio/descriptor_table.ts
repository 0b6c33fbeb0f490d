/**
 * Descriptors of a virtqueue, which are read into the segments of a chain.
 *
 * @module
 */
import { ADDRESS_SPACE_END, type GuestAddress } from "../address.ts";
import { GuestMemoryError } from "../error/guest_memory_error.ts";
import { type ChainProblem, InvalidChain } from "../error/virtqueue_error.ts";
import type { IoMemory } from "../guest/io_memory.ts";
import { DESC_INDIRECT, DESC_NEXT, DESC_SIZE, DESC_WRITE } from "./layout.ts";
import type { RingArea } from "./ring_area.ts";
import type { Segments } from "./segments.ts";

/** Drivers add no longer chain: section 2.7.5.2. */
const MAX_CHAIN_BYTES = 2 ** 32;
// The high half of addresses from here on is beyond the end.
const END_HIGH = ADDRESS_SPACE_END / 2 ** 32;

/** The descriptor table of a queue, and the indirect tables that it refers to. */
export class DescriptorTable {
  readonly #area: RingArea;
  readonly #memory: IoMemory;
  readonly #size: number;
  readonly #allowsIndirect: boolean;
  #indirect: IndirectTable | undefined;

  /**
   * Reads descriptors.
   *
   * @param area The table.
   * @param memory The memory that indirect tables are in.
   * @param size Descriptors of the table.
   * @param allowsIndirect Whether indirect tables were negotiated.
   */
  constructor(area: RingArea, memory: IoMemory, size: number, allowsIndirect: boolean) {
    this.#area = area;
    this.#memory = memory;
    this.#size = size;
    this.#allowsIndirect = allowsIndirect;
  }

  /** Whether its memory was closed, or its protection changed. */
  get isLost(): boolean {
    return this.#area.isLost;
  }

  /**
   * Reads a chain: each descriptor once, as the guest may change it at any time.
   *
   * @param head The index of its first descriptor.
   * @param segments Where to put its buffers.
   * @throws {InvalidChain} It breaks a rule.
   */
  read(head: number, segments: Segments): void {
    const area = this.#area;
    const { isCopy } = area;
    let words = area.u32;
    let table: IndirectTable | undefined;
    const size = this.#size;
    let entries = size;
    let index = head;
    let seen = 0;
    let count = 0;
    let readableCount = 0;
    let bytes = 0;
    let readableBytes = 0;
    let isWritable = false;
    for (;;) {
      if (index >= entries) throw new InvalidChain(head, index, "index");
      let word = index * 4;
      if (table !== undefined) word = table.find(index, head);
      else if (isCopy) area.fetch(index * DESC_SIZE, DESC_SIZE);
      const high = words[word + 1]!;
      const length = words[word + 2]!;
      const link = words[word + 3]!;
      const low = words[word]!;
      if ((link & DESC_INDIRECT) !== 0) {
        table = this.#enter(table, head, index, link, high, low, length);
        words = table.words;
        entries = length / DESC_SIZE;
        index = 0;
        continue;
      }
      let problem: ChainProblem | undefined;
      if (++seen > size) problem = "loop";
      else if (high >= END_HIGH - 1 && !isBelowEnd(high, low, length)) problem = "address";
      else if ((bytes += length) > MAX_CHAIN_BYTES) problem = "length";
      else if ((link & DESC_WRITE) !== 0) isWritable = true;
      else if (isWritable) problem = "order";
      if (problem !== undefined) throw new InvalidChain(head, index, problem);
      if (length > 0) {
        if (count * 4 === segments.words.length) segments.grow();
        const to = segments.words;
        to[count * 4] = low;
        to[count * 4 + 1] = high;
        to[count * 4 + 2] = length;
        count++;
      }
      if (!isWritable) {
        readableCount = count;
        readableBytes = bytes;
      }
      if ((link & DESC_NEXT) === 0) break;
      index = link >>> 16;
    }
    segments.head = head;
    segments.readableCount = readableCount;
    segments.readableBytes = readableBytes;
    segments.writableBytes = bytes - readableBytes;
  }

  // Section 2.7.5.3. The write flag of the descriptor that refers to the table has no meaning.
  #enter(
    table: IndirectTable | undefined,
    head: number,
    index: number,
    link: number,
    high: number,
    low: number,
    length: number,
  ): IndirectTable {
    if (!this.#allowsIndirect || table !== undefined || (link & DESC_NEXT) !== 0) {
      throw new InvalidChain(head, index, "indirect");
    }
    if (!isBelowEnd(high, low, length)) throw new InvalidChain(head, index, "address");
    if (length === 0 || length % DESC_SIZE !== 0) throw new InvalidChain(head, index, "table");
    this.#indirect ??= new IndirectTable(this.#memory, this.#size);
    this.#indirect.read(high * 2 ** 32 + low, length, index);
    return this.#indirect;
  }
}

// Whether a buffer ends at the end of the address space or below.
function isBelowEnd(high: number, low: number, length: number): boolean {
  return high < END_HIGH && (high < END_HIGH - 1 || low + length <= 2 ** 32);
}

/** A copy of an indirect table: one copy takes less time than an access for each descriptor. */
class IndirectTable {
  readonly words: Uint32Array;
  readonly #memory: IoMemory;
  readonly #bytes: Uint8Array;
  #address = 0;
  #index = 0;
  #copied = 0;

  constructor(memory: IoMemory, size: number) {
    this.#memory = memory;
    // No valid chain has more descriptors than the queue. One more for those further on.
    this.words = new Uint32Array((size + 1) * 4);
    this.#bytes = new Uint8Array(this.words.buffer);
  }

  // What cannot be copied is missed only if the chain leads to it: descriptors in a hole, or all of
  // a table of which an IOMMU translates a part.
  read(address: number, length: number, index: number): void {
    const limit = this.#bytes.length - DESC_SIZE;
    this.#address = address;
    this.#index = index;
    try {
      this.#copied = this.#copy(Math.min(length, limit), 0, address) / DESC_SIZE;
    } catch (error) {
      if (!(error instanceof GuestMemoryError)) throw error;
      this.#copied = 0;
    }
  }

  // The word at which a descriptor begins.
  find(index: number, head: number): number {
    if (index + 1 <= this.#copied) return index * 4;
    const last = this.#bytes.length - DESC_SIZE;
    let options: ErrorOptions | undefined;
    try {
      const done = this.#copy(DESC_SIZE, last, this.#address + index * DESC_SIZE);
      if (done === DESC_SIZE) return last / 4;
    } catch (error) {
      if (!(error instanceof GuestMemoryError)) throw error;
      options = { cause: error };
    }
    throw new InvalidChain(head, this.#index, "table", options);
  }

  #copy(count: number, start: number, address: number): number {
    const target = this.#bytes.subarray(start, start + count);
    return this.#memory.read(target, address as GuestAddress);
  }
}
