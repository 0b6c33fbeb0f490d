/**
 * Random reads, writes and discards of memory that is being loaded, and what they have to give.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { type GuestMemoryMmap, u64 } from "../../../mod.ts";
import type { Random } from "../../hostile/random.ts";
import { gpa } from "../../support/values.ts";
import { contentOf, PAGE } from "./lazy_memory.ts";

/** Pages that one thread has for itself, one after the other. */
const BLOCK = 8;

/** What the first and the last word of a page have. */
type Words = readonly [first: bigint, last: bigint];

/** Which pages have content in the snapshot. */
export const hasContent = (address: number): boolean => address / PAGE % 3 !== 0;

/** A thread that uses its own part of the pages: all that it reads is known. */
export class Player {
  /** The guest addresses of pages that it has written, or discarded. */
  readonly written: Set<number> = new Set();
  readonly discarded: Set<number> = new Set();
  readonly #memory: GuestMemoryMmap;
  readonly #random: Random;
  readonly #blocks: number[] = [];
  readonly #model = new Map<number, Words>();

  /**
   * Takes its part.
   *
   * @param memory The memory.
   * @param random What it does.
   * @param part The part.
   * @param parts How many there are.
   */
  constructor(memory: GuestMemoryMmap, random: Random, part: number, parts: number) {
    this.#memory = memory;
    this.#random = random;
    let block = 0;
    for (const { startAddr, len } of memory) {
      // The last page of a region may not be whole: it is left out.
      const end = startAddr + Math.floor(len / PAGE) * PAGE;
      for (let at: number = startAddr; at + BLOCK * PAGE <= end; at += BLOCK * PAGE) {
        if (block++ % parts === part) this.#blocks.push(at);
      }
    }
  }

  /** Does something with one of its pages. */
  act(): void {
    const random = this.#random;
    const block = this.#blocks[random.int(this.#blocks.length)]!;
    const index = random.int(BLOCK);
    const page = block + index * PAGE;
    const value = BigInt(random.int(2 ** 31));
    const [first, last] = this.#wordsOf(page);
    switch (random.int(6)) {
      case 0:
        return this.#check(page);
      case 1:
        this.#memory.writeObj(u64, value, gpa(page));
        return this.#note(page, [value, last]);
      case 2: {
        const view = this.#memory.getSlice(gpa(page + PAGE - 8), 8).rawView();
        new BigUint64Array(view.buffer, view.byteOffset, 1)[0] = value;
        return this.#note(page, [first, value]);
      }
      case 3: {
        const before = this.#memory.getAtomicRef(u64, gpa(page)).fetchAdd(value);
        assertEquals(before, first, `page ${page}`);
        return this.#note(page, [BigInt.asUintN(64, first + value), last]);
      }
      case 4: {
        const count = 1 + random.int(BLOCK - index);
        this.#memory.discard(gpa(page), count * PAGE);
        for (let at = page; at < page + count * PAGE; at += PAGE) {
          this.discarded.add(at);
          this.#model.set(at, [0n, 0n]);
        }
        return;
      }
      default: {
        const bytes = new Uint8Array(PAGE);
        this.#memory.readSlice(bytes, gpa(page));
        const words = new BigUint64Array(bytes.buffer);
        assertEquals([words[0], words.at(-1)], [first, last], `page ${page}`);
        assertEquals(words.subarray(1, -1).some((word) => word !== 0n), false, `page ${page}`);
      }
    }
  }

  /** Checks all its pages. */
  checkAll(): void {
    for (const block of this.#blocks) {
      for (let index = 0; index < BLOCK; index++) this.#check(block + index * PAGE);
    }
  }

  #check(page: number): void {
    const read = (at: number) => this.#memory.load(u64, gpa(at));
    assertEquals([read(page), read(page + PAGE - 8)], this.#wordsOf(page), `page ${page}`);
  }

  #wordsOf(page: number): Words {
    return this.#model.get(page) ?? [hasContent(page) ? contentOf(page) : 0n, 0n];
  }

  #note(page: number, words: Words): void {
    this.written.add(page);
    this.#model.set(page, words);
  }
}
