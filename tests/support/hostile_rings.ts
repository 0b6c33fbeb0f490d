/**
 * Rings that a hostile driver wrote: nearly valid ones, with a few changes.
 *
 * @module
 */
import type { ReferenceLayout } from "./virtqueue_reference.ts";
import type { World } from "./virtqueue_worlds.ts";

/** Random choices, of which 0 is the plainest: what is left when a failure is made smaller. */
export class Choices {
  readonly #numbers: readonly number[];
  #next = 0;

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
  }

  /** A number below `end`. */
  below(end: number): number {
    const at = this.#next++;
    const { length } = this.#numbers;
    if (length === 0) return 0;
    // Later rounds through the numbers differ from the first one.
    const round = Math.floor(at / length);
    const number = this.#numbers[at % length]!;
    return (round === 0 ? number : Math.imul(number, 0x9e3779b1 ^ round) >>> 0) % end;
  }

  /** Once in `n` times. */
  once(n: number): boolean {
    return this.below(n) === n - 1;
  }

  /** One of some. */
  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

const DESC_NEXT = 1;
const DESC_WRITE = 2;
const DESC_INDIRECT = 4;
const SIZES = [4, 1, 2, 8, 16] as const;
const INDICES = [0, 65_535, 65_533, 32_767, 4711] as const;

/** A driver that writes what it likes into the rings of a queue. */
export class HostileDriver {
  readonly layout: ReferenceLayout;
  readonly #world: World;
  readonly #choices: Choices;
  readonly #base: number;
  readonly #end: number;
  // Descriptors that were written: those that are worth changing.
  readonly #written: number[] = [];

  /** Lays a queue out, with valid chains or nearly valid ones. */
  constructor(world: World, choices: Choices) {
    this.#world = world;
    this.#choices = choices;
    const size = choices.of(SIZES);
    const avail = 16 * size + 2 * choices.below(4);
    const used = Math.ceil((avail + 6 + 2 * size) / 4) * 4 + 4 * choices.below(4);
    const length = used + 6 + 8 * size;
    const base = this.#base = this.#place(length);
    this.#end = base + length;
    this.layout = {
      ...{ size, descTable: base, availRing: base + avail, usedRing: base + used },
      eventIdx: choices.below(2) === 1,
      indirect: choices.below(4) !== 0,
      nextAvail: choices.of(INDICES),
      nextUsed: choices.of(INDICES),
    };
    // What is in the used ring is for the device to write.
    for (let at = base; at < base + used; at++) this.#poke(at, 1, 0);
    this.#fill();
    for (let changes = choices.below(4); changes > 0; changes--) this.change();
  }

  /** Makes one chain available that is right, from where the device is. */
  addValid(nextAvail: number, addr: number, length: number): void {
    const { size, descTable, availRing } = this.layout;
    this.#descriptor(descTable, [addr, length, DESC_WRITE, 0]);
    this.#poke(availRing + 4 + 2 * (nextAvail % size), 2, 0);
    this.#poke(availRing + 2, 2, (nextAvail + 1) % 65_536);
  }

  /** Changes something, mostly for the worse. */
  change(): void {
    const choices = this.#choices;
    const { size, descTable, availRing, nextAvail } = this.layout;
    const at = this.#written.length > 0 ? choices.of(this.#written) : descTable;
    switch (choices.below(13)) {
      case 0:
        return this.#poke(at + 14, 2, choices.of([0, 1, size - 1, size, size + 1, 65_535]));
      case 1:
        return this.#poke(at + 12, 2, choices.below(8) + choices.of([0, 0, 8, 0xfff8]));
      case 2:
        return this.#poke(at + 8, 4, this.#length());
      case 3:
        return this.#pokeAddress(at, this.#address());
      case 4:
        // A loop, or a chain that leads into another one.
        this.#poke(at + 12, 2, DESC_NEXT | choices.of([0, DESC_WRITE]));
        return this.#poke(at + 14, 2, choices.below(size));
      case 5: {
        const head = choices.of([0, size - 1, size, 65_535, choices.below(size)]);
        return this.#poke(availRing + 4 + 2 * choices.below(size), 2, head);
      }
      case 6: {
        const ahead = choices.of([size, size + 1, -1, 0, 1, 0x8000, choices.below(size + 1)]);
        return this.#poke(availRing + 2, 2, nextAvail + ahead & 0xffff);
      }
      case 7:
      case 8:
        this.#pokeAddress(at, this.#address());
        this.#poke(at + 8, 4, choices.of([16, 32, 0, 8, 16 * size + 16, 2 ** 32 - 16, 40]));
        return this.#poke(at + 12, 2, DESC_INDIRECT | choices.of([0, 0, 0, DESC_WRITE, DESC_NEXT]));
      case 9:
        return this.#poke(availRing, 2, choices.below(2));
      case 10:
        // used_event.
        return this.#poke(availRing + 4 + 2 * size, 2, choices.below(65_536));
      case 11:
        this.#poke(at + 12, 2, DESC_INDIRECT);
        return this.#table(at, true);
      case 12:
        // Each may be, but not together.
        for (let i = 0; i < 3; i++) {
          const other = this.#written.length > 0 ? choices.of(this.#written) : at;
          this.#poke(other + 8, 4, 2 ** 31 + choices.of([0, 0, 1, -1]));
        }
    }
  }

  #fill(): void {
    const choices = this.#choices;
    const { size, descTable, availRing, indirect, nextAvail } = this.layout;
    // Each descriptor once, in an order that leads up and down the table.
    const first = choices.below(size);
    const step = 2 * choices.below(8) + 1;
    const index = (i: number) => (first + i * step) % size;
    let heads = 0;
    for (let taken = 0; taken < size && !(taken > 0 && choices.once(4));) {
      const at = descTable + 16 * index(taken);
      this.#poke(availRing + 4 + 2 * ((nextAvail + heads) % size), 2, index(taken));
      heads++;
      if (indirect && choices.once(3)) {
        this.#poke(at + 12, 2, DESC_INDIRECT);
        this.#table(at, false);
        this.#written.push(at);
        taken++;
        continue;
      }
      const count = Math.min(1 + choices.below(4), size - taken);
      const readable = choices.below(count + 1);
      for (let i = 0; i < count; i++) {
        const isLast = i === count - 1;
        const flags = (isLast ? 0 : DESC_NEXT) | (i < readable ? 0 : DESC_WRITE);
        const at = descTable + 16 * index(taken + i);
        this.#descriptor(at, [...this.#buffer(), flags, isLast ? 0 : index(taken + i + 1)]);
        this.#written.push(at);
      }
      taken += count;
    }
    this.#poke(availRing + 2, 2, nextAvail + heads & 0xffff);
    if (choices.once(4)) this.change();
  }

  // Makes a descriptor refer to a table, which is in order or leads anywhere.
  #table(at: number, isWild: boolean): void {
    const choices = this.#choices;
    const { size } = this.layout;
    const entries = 1 + choices.below(isWild ? size + 4 : Math.min(size, 4));
    const table = this.#place(entries * 16) + (choices.once(6) ? choices.below(16) : 0);
    this.#pokeAddress(at, [Math.floor(table / 2 ** 32), table % 2 ** 32]);
    this.#poke(at + 8, 4, entries * 16);
    const readable = choices.below(entries + 1);
    for (let i = 0; i < entries; i++) {
      const isLast = i === entries - 1;
      const flags = (isLast ? 0 : DESC_NEXT) | (i < readable ? 0 : DESC_WRITE);
      const entry = table + i * 16;
      this.#descriptor(entry, [...this.#buffer(), flags, isLast ? 0 : i + 1]);
      this.#written.push(entry);
    }
    if (isWild) this.#poke(table + 14, 2, choices.below(entries + 2));
  }

  // Room at a multiple of 16, often over a border.
  #place(length: number): number {
    const choices = this.#choices;
    const [start, size] = choices.of(this.#world.runs);
    const end = start + size - length;
    const near = choices.of(this.#world.borders) - 16 * choices.below(Math.ceil(length / 16) + 1);
    if (choices.below(2) === 1 && near >= start && near <= end) return near;
    return start + 16 * choices.below(Math.floor((end - start) / 16) + 1);
  }

  // A buffer in memory, which spares the rings mostly.
  #buffer(): [addr: number, length: number] {
    const choices = this.#choices;
    const length = choices.of([4, 0, 1, 2, 3, 7, 16, 60]);
    const [start, size] = choices.of(this.#world.runs);
    const addr = start + choices.below(size - length + 1);
    const isOver = addr < this.#end && addr + length > this.#base;
    if (!isOver || choices.once(4)) return [addr, length];
    return this.#base - length >= start ? [this.#base - length, length] : [this.#end, 0];
  }

  #address(): [high: number, low: number] {
    const choices = this.#choices;
    const near = choices.below(40) - 20;
    switch (choices.below(7)) {
      case 0:
        return [2 ** 21 - 1, 2 ** 32 - 1 - choices.below(20)];
      case 1:
        return [2 ** 21, choices.below(20)];
      case 2:
        return [2 ** 32 - 1, 2 ** 32 - 1 - choices.below(20)];
      case 3:
        return [choices.of([1, 2 ** 20, 2 ** 31]), choices.of([0, 1, 2 ** 32 - 1])];
      default: {
        const addr = Math.max(0, Math.min(choices.of(this.#world.borders) + near, 2 ** 53 - 1));
        return [Math.floor(addr / 2 ** 32), addr % 2 ** 32];
      }
    }
  }

  #length(): number {
    const choices = this.#choices;
    const near = choices.below(20);
    return choices.of([near, 2 ** 32 - 1 - near, 2 ** 31 - near, 0x800 + near, 0x10000]);
  }

  #descriptor(at: number, [addr, len, flags, next]: [number, number, number, number]): void {
    this.#pokeAddress(at, [Math.floor(addr / 2 ** 32), addr % 2 ** 32]);
    this.#poke(at + 8, 4, len);
    this.#poke(at + 12, 2, flags);
    this.#poke(at + 14, 2, next);
  }

  #pokeAddress(at: number, [high, low]: [high: number, low: number]): void {
    this.#poke(at, 4, low);
    this.#poke(at + 4, 4, high);
  }

  // Where there is no memory, nothing is written.
  #poke(at: number, length: number, value: number): void {
    const { bytes, place } = this.#world.reference;
    for (let i = 0; i < length; i++) {
      const index = place(at + i);
      if (index !== undefined) bytes[index] = value >>> i * 8;
    }
  }
}
