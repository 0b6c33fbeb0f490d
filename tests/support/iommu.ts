/**
 * Memory behind an IOMMU, and every operation on it.
 *
 * @module
 */
import {
  AtomicBitmap,
  CannotResolve,
  Cursor,
  type GuestAddress,
  GuestMemoryHeap,
  type IoMemory,
  type Iommu,
  IommuMemory,
  Iotlb,
  IotlbFails,
  type MappedRange,
  Permissions,
  type ReadVolatile,
  u64,
  u8,
  type VolatileSlice,
  type WriteVolatile,
} from "../../mod.ts";
import { exactly } from "./tracked_memories.ts";
import { count, gpa } from "./values.ts";

const { Read, ReadWrite, Write } = Permissions;

export const PAGE: number = 16;

// Physical memory of the tests: [0, 64) and [64, 128), a hole, [192, 256). One bit for each byte.
export function physicalMemory(): GuestMemoryHeap<AtomicBitmap> {
  return GuestMemoryHeap.fromRanges([[gpa(0), 64], [gpa(64), 64], [gpa(192), 64]], exactly);
}

/** An IOMMU that has all its translations in its IOTLB, and counts what it is asked. */
export class TableIommu implements Iommu {
  readonly tlb: Iotlb = new Iotlb();
  readonly asked: [iova: number, length: number, permissions: Permissions][] = [];

  map(
    iova: number,
    physical: number,
    length: number = PAGE,
    permissions: Permissions = ReadWrite,
  ): this {
    this.tlb.setMapping(gpa(iova), gpa(physical), length, permissions);
    return this;
  }

  translate(iova: GuestAddress, length: number, permissions: Permissions): MappedRange[] {
    this.asked.push([iova, length, permissions]);
    try {
      return this.tlb.lookup(iova, length, permissions);
    } catch (error) {
      if (!(error instanceof IotlbFails)) throw error;
      throw new CannotResolve({ base: iova, length }, error.message);
    }
  }
}

// Three pages at IOVA 0x1000, out of order in physical memory: the second is in two regions.
export function scattered(): {
  physical: GuestMemoryHeap<AtomicBitmap>;
  iommu: TableIommu;
  bitmap: AtomicBitmap;
  memory: IommuMemory;
} {
  const physical = physicalMemory();
  const iommu = new TableIommu().map(0x1000, 96).map(0x1010, 56).map(0x1020, 0);
  const bitmap = new AtomicBitmap(0x2000, 1);
  const memory = new IommuMemory(physical, iommu, { bitmap });
  return { physical, iommu, bitmap, memory };
}

/** All bytes of the physical memory. */
export function snapshot(physical: GuestMemoryHeap): Uint8Array[] {
  return [...physical].map((region) => region.asVolatileSlice().readOnlyView().slice());
}

/** A stream that takes several pieces of memory in one call and remembers their sizes. */
export class Vectored implements ReadVolatile, WriteVolatile {
  readonly calls: number[][] = [];
  readonly moved: number[] = [];
  readonly #limit: number;

  constructor(limit: number = Infinity) {
    this.#limit = limit;
  }

  readVolatile(slice: VolatileSlice): number {
    return this.readVectoredVolatile([slice]);
  }

  writeVolatile(slice: VolatileSlice): number {
    return this.writeVectoredVolatile([slice]);
  }

  readVectoredVolatile(slices: readonly VolatileSlice[]): number {
    return this.#each(slices, (slice, i) => {
      slice.writeObj(u8, 1 + this.moved.length, i);
      this.moved.push(1 + this.moved.length);
    });
  }

  writeVectoredVolatile(slices: readonly VolatileSlice[]): number {
    return this.#each(slices, (slice, i) => this.moved.push(slice.readObj(u8, i)));
  }

  #each(slices: readonly VolatileSlice[], move: (slice: VolatileSlice, i: number) => void): number {
    this.calls.push(slices.map(({ len }) => len));
    let done = 0;
    for (const slice of slices) {
      for (let i = 0; i < slice.len && done < this.#limit; i++, done++) move(slice, i);
    }
    return done;
  }
}

// Every operation on 8 bytes, with what it does to memory.
export const OPERATIONS: readonly (readonly [
  name: string,
  needs: Permissions,
  run: (memory: IoMemory, addr: GuestAddress) => unknown,
])[] = [
  ["read", Read, (memory, at) => memory.read(new Uint8Array(8), at)],
  ["readSlice", Read, (memory, at) => memory.readSlice(new Uint8Array(8), at)],
  ["readObj", Read, (memory, at) => memory.readObj(u64, at)],
  ["load", Read, (memory, at) => memory.load(u64, at)],
  [
    "writeVolatileTo",
    Read,
    (memory, at) => memory.writeVolatileTo(at, new Cursor(new Uint8Array(8)), 8),
  ],
  [
    "writeAllVolatileTo",
    Read,
    (memory, at) => memory.writeAllVolatileTo(at, new Cursor(new Uint8Array(8)), 8),
  ],
  [
    "writeVolatileTo, vectored",
    Read,
    (memory, at) => memory.writeVolatileTo(at, new Vectored(), 8),
  ],
  [
    "writeVectoredTo",
    Read,
    (memory, at) => memory.writeVectoredTo([[at, 8]], new Cursor(new Uint8Array(8))),
  ],
  [
    "writeAllVectoredTo, vectored",
    Read,
    (memory, at) => memory.writeAllVectoredTo([[at, 8]], new Vectored()),
  ],
  ["getSlices to read", Read, (memory, at) => [...memory.getSlices(at, 8, Read)]],
  ["write", Write, (memory, at) => memory.write(count(8), at)],
  ["writeSlice", Write, (memory, at) => memory.writeSlice(count(8), at)],
  ["writeObj", Write, (memory, at) => memory.writeObj(u64, 9n, at)],
  ["store", Write, (memory, at) => memory.store(u64, 9n, at)],
  [
    "readVolatileFrom",
    Write,
    (memory, at) => memory.readVolatileFrom(at, new Cursor(count(8)), 8),
  ],
  [
    "readExactVolatileFrom",
    Write,
    (memory, at) => memory.readExactVolatileFrom(at, new Cursor(count(8)), 8),
  ],
  [
    "readVolatileFrom, vectored",
    Write,
    (memory, at) => memory.readVolatileFrom(at, new Vectored(), 8),
  ],
  [
    "readVectoredFrom",
    Write,
    (memory, at) => memory.readVectoredFrom([[at, 8]], new Cursor(count(8))),
  ],
  [
    "readExactVectoredFrom, vectored",
    Write,
    (memory, at) => memory.readExactVectoredFrom([[at, 8]], new Vectored()),
  ],
  ["getSlices to write", Write, (memory, at) => [...memory.getSlices(at, 8, Write)]],
  ["getSlices", ReadWrite, (memory, at) => [...memory.getSlices(at, 8)]],
  ["exchange", ReadWrite, (memory, at) => memory.getAtomicRef(u64, at).exchange(9n)],
  [
    "compareExchange",
    ReadWrite,
    (memory, at) => memory.getAtomicRef(u64, at).compareExchange(0n, 9n),
  ],
  ["fetchAdd", ReadWrite, (memory, at) => memory.getAtomicRef(u64, at).fetchAdd(9n)],
  ["fetchSub", ReadWrite, (memory, at) => memory.getAtomicRef(u64, at).fetchSub(9n)],
  ["fetchAnd", ReadWrite, (memory, at) => memory.getAtomicRef(u64, at).fetchAnd(9n)],
  ["fetchOr", ReadWrite, (memory, at) => memory.getAtomicRef(u64, at).fetchOr(9n)],
  ["fetchXor", ReadWrite, (memory, at) => memory.getAtomicRef(u64, at).fetchXor(9n)],
];
