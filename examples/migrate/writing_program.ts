/**
 * A guest that is no virtual machine, but a thread that writes.
 *
 * @module
 */
import { GuestAddress, type GuestMemoryMmap, pageSize, u32 } from "@vmm/guest-memory";
import { BATCH, type Program, wholePages } from "./guest.ts";

interface Place {
  readonly start: number;
  readonly pages: number;
  readonly view: Uint32Array | undefined;
}

/** A program in this language, which writes by the library, or by views. */
export class WritingProgram implements Program {
  readonly #memory: GuestMemoryMmap;
  readonly #places: readonly Place[];
  readonly #pages: number;
  readonly #pageSize: number = pageSize();

  /**
   * The program in some memory.
   *
   * @param memory The memory.
   * @param byViews Whether it writes by views, which the library does not see.
   */
  constructor(memory: GuestMemoryMmap, byViews: boolean) {
    this.#memory = memory;
    this.#places = Array.from(memory, ({ startAddr, len }) => ({
      start: startAddr,
      pages: wholePages(len * 3 / 4) / this.#pageSize,
      view: byViews ? viewOf(memory, startAddr, len) : undefined,
    }));
    this.#pages = this.#places.reduce((sum, { pages }) => sum + pages, 0);
  }

  /** Makes {@linkcode BATCH} steps, then notes in memory how many it has made in all. */
  run(first: number): void {
    const end = first + BATCH;
    for (let step = first; step < end; step++) {
      const hash = mixed(step);
      this.#write(hash % this.#pages, mixed(hash) % (this.#pageSize / 4), step);
    }
    this.#write(0, 0, end);
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

// The finalizer of MurmurHash3: all bits of the result depend on all of the value.
function mixed(value: number): number {
  let hash = (value ^ 0x9e37_79b9) >>> 0;
  hash = Math.imul(hash ^ hash >>> 16, 0x85eb_ca6b);
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2_ae35);
  return (hash ^ hash >>> 16) >>> 0;
}
