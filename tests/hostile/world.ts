/** A guest memory of some kind, all that belongs to it, and a model of its bytes. */
import {
  GuestAddress,
  GuestMemoryAtomic,
  GuestMemoryMmap,
  type GuestMemoryRegion,
  type GuestRegionCollection,
  type IoMemory,
  MmapRegion,
  type Permissions,
  type VolatileSlice,
} from "../../mod.ts";
import { Backing, SIZE, type Span } from "./backing.ts";
import type { TestFile } from "./files.ts";

export type { Span } from "./backing.ts";

/** Where the regions of every world begin: two are adjacent, the third follows a hole. */
export const STARTS: readonly GuestAddress[] = [0x1000, 0x2000, 0x5000].map(GuestAddress);

/** What a kind of world consists of. */
export interface Parts {
  readonly name: string;
  readonly regions: readonly GuestMemoryRegion[];
  readonly backings: readonly Backing[];
  /** Puts something before the memory, such as an IOMMU. */
  readonly behind?: (physical: GuestRegionCollection) => IoMemory;
  /** What an address of that is in physical memory. */
  readonly translate?: (addr: number) => number;
  /** The buffers of the regions, where they are the caller's. */
  readonly buffers?: readonly (ArrayBuffer | SharedArrayBuffer)[];
  /** Whether the bytes are as the model says. */
  readonly modelled: boolean;
  /** The map of the regions, where it is made already. */
  readonly physical?: GuestRegionCollection;
}

/** A guest memory with what belongs to it. */
export class World {
  readonly name: string;
  readonly physical: GuestRegionCollection;
  readonly memory: IoMemory;
  readonly regions: readonly GuestMemoryRegion[];
  readonly backings: readonly Backing[];
  readonly buffers: readonly (ArrayBuffer | SharedArrayBuffer)[];
  readonly modelled: boolean;
  readonly translate: (addr: number) => number;
  #space: GuestMemoryAtomic<GuestRegionCollection> | undefined;
  /** What the calls have made, to be closed in the end. */
  readonly made: { close(): unknown }[] = [];
  /** Files that calls were given. */
  readonly files: TestFile[] = [];
  /** Whether something was closed, so that calls throw. */
  closed = false;

  constructor(parts: Parts) {
    this.name = parts.name;
    this.regions = parts.regions;
    this.backings = parts.backings;
    this.buffers = parts.buffers ?? [];
    this.modelled = parts.modelled;
    this.physical = parts.physical ?? GuestMemoryMmap.fromRegions(parts.regions);
    this.memory = parts.behind?.(this.physical) ?? this.physical;
    this.translate = parts.translate ?? ((addr) => addr);
  }

  /** The memory as one whose map can be replaced. From then on that owns the memory. */
  get space(): GuestMemoryAtomic<GuestRegionCollection> {
    return this.#space ??= new GuestMemoryAtomic(this.physical);
  }

  /** The bytes of a range of the memory, up to a hole. */
  resolve(addr: number, count: number): Span[] {
    return this.#resolve(addr, count, this.translate);
  }

  /** The bytes of a range of the physical memory, up to a hole. */
  resolvePhysical(addr: number, count: number): Span[] {
    return this.#resolve(addr, count, (addr) => addr);
  }

  #resolve(addr: number, count: number, translate: (addr: number) => number): Span[] {
    const spans: Span[] = [];
    while (count > 0) {
      const physical = translate(addr);
      const index = STARTS.findIndex((start) => physical >= start && physical < start + SIZE);
      if (index < 0) break;
      const at = physical - STARTS[index]!;
      const length = Math.min(count, SIZE - at);
      spans.push({ backing: this.backings[index]!, at, length });
      addr += length;
      count -= length;
    }
    return spans;
  }

  /** All of the region that has some bytes. */
  wholeOf({ backing }: Span): Span[] {
    return [{ backing, at: 0, length: SIZE }];
  }

  /** The bytes of a buffer that is in no region. */
  loose(bytes: Uint8Array): Span[] {
    const backing = new Backing("buffer", 0, () => bytes);
    return [{ backing, at: 0, length: bytes.length }];
  }

  /** All bytes of a region. */
  spansOf(index: number): Span[] {
    return [{ backing: this.backings[index]!, at: 0, length: SIZE }];
  }

  /** Closes the memory. */
  close(): void {
    this.closed = true;
    this.#space?.close();
    this.physical.close();
  }

  /** Ends what nobody may use any more of a region. */
  closeRegion(): void {
    this.closed = true;
    const region = this.regions[0] as GuestMemoryRegion & { mmap?: unknown };
    // More releases than there were references: it is closed for all.
    region.release();
    region.release();
    if (region.mmap instanceof MmapRegion) region.mmap.release();
  }

  /** Takes the buffers of the regions away, or makes them small. */
  transfer(): void {
    this.closed = true;
    for (const buffer of this.buffers) {
      if (buffer instanceof SharedArrayBuffer) {
        if (buffer.growable) buffer.grow(buffer.maxByteLength);
      } else if (buffer.resizable) buffer.resize(64);
      else if (!buffer.detached) buffer.transfer();
    }
  }

  /** Changes what may be done with the regions, where the kernel knows of it. */
  protect(protection: Permissions): void {
    for (const region of this.regions) {
      const { mmap } = region as { mmap?: unknown };
      if (mmap instanceof MmapRegion && !mmap.closed) mmap.protect(protection);
    }
  }

  /** Writes a byte of each region, which does not change it. */
  touch(): void {
    const byte = new Uint8Array(1);
    for (const start of STARTS) {
      this.physical.readSlice(byte, start);
      this.physical.writeSlice(byte, start);
    }
  }

  /** Replaces the map of regions by one without the first. */
  replace(): void {
    const guard = this.space.tryLock();
    if (guard === undefined) return;
    try {
      const [without] = guard.memory.physicalMemory === this.physical
        ? this.physical.removeRegion(STARTS[0]!, SIZE)
        : [];
      if (without !== undefined) guard.replace(without);
    } finally {
      guard.close();
    }
  }

  /** Closes everything, once the calls are over. */
  end(): unknown[] {
    const errors: unknown[] = [];
    const attempt = (use: () => unknown) => {
      try {
        use();
      } catch (error) {
        errors.push(error);
      }
    };
    for (const made of this.made) attempt(() => made.close());
    attempt(() => this.close());
    return errors;
  }
}

/** A part of a slice with its bytes. */
export function part(
  slice: VolatileSlice,
  spans: readonly Span[],
  at: number,
  length: number,
): [VolatileSlice, Span[]] {
  return [slice.getSlice(at, length), cut(spans, at, length)];
}

/** A part of some spans in a row. */
export function cut(spans: readonly Span[], at: number, length: number): Span[] {
  const result: Span[] = [];
  for (const span of spans) {
    const from = Math.min(at, span.length);
    const count = Math.min(length, span.length - from);
    if (count > 0) result.push({ backing: span.backing, at: span.at + from, length: count });
    at -= from;
    length -= count;
  }
  return result;
}
