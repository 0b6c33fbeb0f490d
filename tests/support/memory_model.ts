/**
 * Guest memory against a model: a map from addresses to bytes, written without regard to speed.
 *
 * The same random operations go to both; results, errors, content and dirty bytes have to agree.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  ADDRESS_SPACE_END,
  type Bitmap,
  GuestAddress,
  type GuestMemory,
  GuestMemoryError,
} from "../../mod.ts";
import { type Operation, operation } from "./memory_operations.ts";
import { RecordingBitmap } from "./recording_bitmap.ts";

/** Start and size of a region. */
export type Range = readonly [start: GuestAddress, length: number];

/** Makes the memory under test: zeroed, with a bitmap for each region in the order of the ranges. */
export type MakeMemory = (
  ranges: readonly Range[],
  options: { bitmap: (length: number) => Bitmap },
) => GuestMemory & Disposable;

interface Layout {
  base: number;
  regions: { gap: number; length: number }[];
}

/** What an operation came to. Bytes that were copied out come with it. */
export type Outcome = { value: unknown } | { error: string; [field: string]: unknown };

interface ModelRegion {
  start: number;
  end: number;
}

/** The model: what every byte is, and which were written since the last look. */
export class Model {
  readonly bytes: Map<number, number> = new Map();
  readonly dirty: Set<number> = new Set();
  readonly regions: ModelRegion[] = [];
  readonly base: number;

  constructor({ base, regions }: Layout) {
    this.base = base;
    let end = base;
    for (const { gap, length } of regions) {
      const start = end + gap;
      end = start + length;
      this.regions.push({ start, end });
      for (let at = start; at < end; at++) this.bytes.set(at, 0);
    }
  }

  /** Whether a region contains the byte at an offset from the base. */
  has(at: number): boolean {
    return this.bytes.has(this.base + at);
  }

  /** How many of `count` bytes are held without a hole. */
  run(at: number, count: number): number {
    let length = 0;
    while (length < count && this.has(at + length)) length++;
    return length;
  }

  /** The region that contains a byte. */
  region(at: number): ModelRegion | undefined {
    const address = this.base + at;
    return this.regions.find(({ start, end }) => address >= start && address < end);
  }

  /** How many of `count` bytes are held by the region of the first. */
  part(at: number, count: number): number {
    return Math.min(count, (this.region(at)?.end ?? 0) - this.base - at);
  }

  get(at: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.bytes.get(this.base + at + i)!);
  }

  put(at: number, content: Iterable<number>): void {
    let address = this.base + at;
    for (const byte of content) {
      this.bytes.set(address, byte);
      this.dirty.add(address++);
    }
  }

  invalid(at: number): Outcome {
    return { error: "InvalidGuestAddress", address: this.base + at };
  }
}

const gap = fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 9 }));
const layout: fc.Arbitrary<Layout> = fc.record({
  regions: fc.array(fc.record({ gap, length: fc.integer({ min: 1, max: 24 }) }), {
    minLength: 1,
    maxLength: 4,
  }),
  base: fc.oneof(
    fc.nat(64),
    fc.constantFrom(2 ** 31 - 20, 2 ** 31, 2 ** 32 - 20, 2 ** 32, Infinity),
  ),
}).map(({ base, regions }) => {
  const span = regions.reduce((sum, { gap, length }) => sum + gap + length, 0);
  return { base: Math.min(base, 2 ** 53 - span), regions };
});

function attempt(run: () => unknown): Outcome {
  try {
    return { value: run() };
  } catch (caught) {
    if (!(caught instanceof GuestMemoryError)) throw caught;
    const { name: error, ...fields } = caught;
    return { ...fields, error };
  }
}

function dirtyBytes(ranges: readonly Range[], bitmaps: readonly RecordingBitmap[]): Set<number> {
  const dirty = new Set<number>();
  for (const [i, bitmap] of bitmaps.entries()) {
    for (const [offset, length] of bitmap.take()) {
      for (let byte = 0; byte < length; byte++) dirty.add(ranges[i]![0] + offset + byte);
    }
  }
  return dirty;
}

function check(makeMemory: MakeMemory, layout: Layout, operations: Operation[]): void {
  const model = new Model(layout);
  const bitmaps: RecordingBitmap[] = [];
  const ranges = model.regions.map(({ start, end }): Range => [GuestAddress(start), end - start]);
  using memory = makeMemory(ranges, {
    bitmap(length) {
      assertEquals(length, ranges[bitmaps.length]![1]);
      bitmaps.push(new RecordingBitmap());
      return bitmaps.at(-1)!;
    },
  });
  assertEquals<number>(memory.lastAddr, model.regions.at(-1)!.end - 1);
  assertEquals(memory.numRegions, ranges.length);
  for (const { at, run, expect } of operations) {
    if (layout.base + at >= ADDRESS_SPACE_END) continue;
    const outcome = attempt(() => run(memory, GuestAddress(layout.base + at)));
    assertEquals(outcome, expect(model));
    assertEquals(dirtyBytes(ranges, bitmaps), model.dirty);
    model.dirty.clear();
  }
  for (const [start, length] of ranges) {
    const actual = new Uint8Array(length);
    memory.readSlice(actual, start);
    assertEquals([...actual], model.get(start - layout.base, length));
  }
}

/**
 * Runs random operations on random regions and compares with the model.
 *
 * @param makeMemory Makes the memory under test.
 * @param numRuns How many layouts of regions, each with a sequence of operations, are tried.
 */
export function checkAgainstModel(makeMemory: MakeMemory, numRuns: number = 3000): void {
  fc.assert(
    fc.property(
      layout,
      fc.array(operation, { maxLength: 30, size: "max" }),
      (layout, operations) => check(makeMemory, layout, operations),
    ),
    { numRuns },
  );
}

// Bytes before a boundary that operations can reach.
const BEFORE = 32;

/**
 * The same around a boundary of two or three regions that are mapped one after the other.
 *
 * @param makeMemory Makes the memory under test.
 * @param length Bytes of each region.
 * @param numRuns How many sequences of operations are tried.
 */
export function checkBoundary(makeMemory: MakeMemory, length: number, numRuns: number): void {
  fc.assert(
    fc.property(
      fc.constantFrom(2, 3),
      fc.constantFrom(0, 2 ** 31 - length, 2 ** 32 - length, 2 ** 45),
      fc.array(operation, { maxLength: 30, size: "max" }),
      (count, start, operations) => {
        const regions = Array.from({ length: count }, (_, i) => ({
          gap: i === 0 ? BEFORE - length : 0,
          length,
        }));
        check(makeMemory, { base: start + length - BEFORE, regions }, operations);
      },
    ),
    { numRuns },
  );
}
