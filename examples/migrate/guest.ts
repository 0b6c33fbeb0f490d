/**
 * The guest: its memory, and a program that only writes. What the program does follows from the number
 * of steps that it has made, so the same steps give the same memory anywhere.
 *
 * @module
 */
import { AtomicBitmap, GuestAddress, GuestMemoryMmap, pageSize, u32 } from "@vmm/guest-memory";

/** Bytes of a guest, at least. */
export const SMALLEST: number = 2 ** 23;
/** Bytes of a guest, at most: its second region ends below the third. */
export const LARGEST: number = 2 ** 32;

// As a PC has it: conventional memory, what follows the hole below 1 MiB, and what is above 4 GiB.
const CONVENTIONAL = 0xa_0000;
const EXTENDED_START = 2 ** 20;
const HIGH_START = 2 ** 32;

/** The ranges of a guest. */
export function rangesOf(size: number): [start: GuestAddress, length: number][] {
  const high = size / 2;
  return [
    [GuestAddress(0), CONVENTIONAL],
    [GuestAddress(EXTENDED_START), size - high - CONVENTIONAL],
    [GuestAddress(HIGH_START), high],
  ];
}

/** Maps the memory of a guest, whose dirty pages are tracked. */
export function mapGuest(
  ranges: Iterable<readonly [start: GuestAddress, length: number]>,
): GuestMemoryMmap<AtomicBitmap> {
  const page = pageSize();
  return GuestMemoryMmap.fromRanges(ranges, {
    bitmap: (length) => new AtomicBitmap(length, page),
  });
}

const BLOCK = 2 ** 20;

/**
 * Fills the first half of each region. The program writes to the first three quarters. The rest stays
 * absent.
 */
export function boot(memory: GuestMemoryMmap): void {
  const block = new Uint8Array(BLOCK);
  for (let at = 0; at < BLOCK; at += 2 ** 16) {
    crypto.getRandomValues(block.subarray(at, at + 2 ** 16));
  }
  const page = pageSize();
  const numbers = new Uint32Array(block.buffer);
  for (const { startAddr, len } of memory) {
    const end = wholePages(len / 2);
    for (let done = 0; done < end; done += BLOCK) {
      // No two pages are the same, so that one in the wrong place is seen.
      for (let at = 0; at < BLOCK; at += page) numbers[at / 4] = (startAddr + done + at) / page;
      const count = Math.min(BLOCK, end - done);
      memory.writeSlice(block.subarray(0, count), GuestAddress(startAddr + done));
    }
  }
}

/** How the program writes: by the library, which marks what it writes, or by views. */
export type Writes = "library" | "views";

interface Place {
  readonly start: number;
  readonly pages: number;
  readonly view: Uint32Array | undefined;
}

/** The program of the guest. */
export class Program {
  readonly #memory: GuestMemoryMmap;
  readonly #places: readonly Place[];
  readonly #pages: number;
  readonly #pageSize: number = pageSize();

  /**
   * The program in some memory.
   *
   * @param memory The memory.
   * @param writes How it writes.
   */
  constructor(memory: GuestMemoryMmap, writes: Writes) {
    this.#memory = memory;
    this.#places = Array.from(memory, ({ startAddr, len }) => ({
      start: startAddr,
      pages: wholePages(len * 3 / 4) / this.#pageSize,
      view: writes === "views" ? viewOf(memory, startAddr, len) : undefined,
    }));
    this.#pages = this.#places.reduce((sum, { pages }) => sum + pages, 0);
  }

  /**
   * Makes some steps, then notes in memory how many it has made.
   *
   * @param from The number of the first.
   * @param to The number after the last.
   */
  run(from: number, to: number): void {
    for (let step = from; step < to; step++) {
      const hash = mixed(step);
      this.#write(hash % this.#pages, mixed(hash) % (this.#pageSize / 4), step);
    }
    this.#write(0, 0, to);
  }

  /** How many steps the memory says were made, modulo 2^32. */
  get noted(): number {
    return this.#memory.readObj(u32, GuestAddress(this.#places[0]!.start));
  }

  #write(page: number, word: number, value: number): void {
    for (const { start, pages, view } of this.#places) {
      if (page < pages) {
        const offset = page * this.#pageSize + word * 4;
        if (view !== undefined) view[offset / 4] = value;
        else this.#memory.writeObj(u32, value >>> 0, (start + offset) as GuestAddress);
        return;
      }
      page -= pages;
    }
  }
}

function viewOf(memory: GuestMemoryMmap, start: GuestAddress, length: number): Uint32Array {
  const { buffer, byteOffset } = memory.getSlice(start, length).rawView();
  return new Uint32Array(buffer, byteOffset, Math.floor(length / 4));
}

function wholePages(length: number): number {
  return length - length % pageSize();
}

// The finalizer of MurmurHash3: all bits of the result depend on all of the value.
function mixed(value: number): number {
  let hash = (value ^ 0x9e37_79b9) >>> 0;
  hash = Math.imul(hash ^ hash >>> 16, 0x85eb_ca6b);
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2_ae35);
  return (hash ^ hash >>> 16) >>> 0;
}
