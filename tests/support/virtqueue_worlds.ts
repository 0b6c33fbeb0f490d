/**
 * Memories of all kinds that a virtqueue may be in, each beside an array with the same bytes.
 *
 * @module
 */
import {
  CannotResolve,
  type GuestMemory,
  GuestMemoryHeap,
  GuestMemoryMmap,
  GuestRegionCollection,
  GuestRegionHeap,
  type IoMemory,
  IommuMemory,
  Iotlb,
  IotlbFails,
  Permissions,
} from "../../mod.ts";
import { ElsewhereRegion } from "./elsewhere_region.ts";
import { gpa } from "./values.ts";
import type { ReferenceMemory } from "./virtqueue_reference.ts";

/** A start and a length. */
export type Run = readonly [addr: number, length: number];

/** Memory, and the array that it is compared with. */
export interface World {
  readonly name: string;
  readonly memory: IoMemory;
  readonly reference: ReferenceMemory;
  /** Where rings may be: addresses without a hole between them, readable and writable. */
  readonly runs: readonly Run[];
  /** Where regions, pages and holes meet. */
  readonly borders: readonly number[];
  /** Whether all of a range is translated before any of it is accessed. */
  readonly isTranslated: boolean;
  /** Whether a byte may be written. */
  mayWrite(addr: number): boolean;
  /** Makes the memory what the array is. */
  copyIn(): void;
  /** The first index at which memory and array differ; -1 if they do not. */
  difference(): number;
}

/** The end of the address space. */
const END = 2 ** 53;

interface Physical {
  readonly memory: GuestMemory;
  readonly ranges: readonly Run[];
}

function worldOf(
  name: string,
  { memory: physical, ranges }: Physical,
  seen: Pick<World, "runs" | "borders"> & {
    memory?: IoMemory;
    translate?: (addr: number) => number | undefined;
    mayWrite?: (addr: number) => boolean;
  },
): World {
  const length = ranges.reduce((sum, [, size]) => sum + size, 0);
  const bytes = new Uint8Array(length);
  const scratch = new Uint8Array(length);
  const [expected, actual] = [bytes, scratch].map((array) => new Int32Array(array.buffer));
  const { memory = physical, translate = (addr) => addr, mayWrite = () => true } = seen;
  const each = (access: (part: Run, start: number) => void) => {
    let start = 0;
    for (const range of ranges) {
      access(range, start);
      start += range[1];
    }
  };
  const place = (addr: number) => {
    const at = translate(addr);
    if (at === undefined) return undefined;
    let start = 0;
    for (let i = 0; i < ranges.length; i++) {
      const [from, size] = ranges[i]!;
      if (at >= from && at - from < size) return start + (at - from);
      start += size;
    }
    return undefined;
  };
  return {
    ...{ name, memory, runs: seen.runs, borders: seen.borders, mayWrite },
    reference: { bytes, place },
    isTranslated: memory !== physical,
    copyIn() {
      each(([from, size], start) =>
        physical.writeSlice(bytes.subarray(start, start + size), gpa(from))
      );
    },
    difference() {
      each(([from, size], start) => {
        physical.readSlice(scratch.subarray(start, start + size), gpa(from));
      });
      for (let i = 0; i < actual!.length; i++) if (actual![i] !== expected![i]) return i * 4;
      return -1;
    },
  };
}

/** One region on the heap. */
export function heapWorld(): World {
  const range = [0x1000, 0x1000] as const;
  const memory = GuestMemoryHeap.fromRanges([[gpa(range[0]), range[1]]]);
  return worldOf("heap", { memory, ranges: [range] }, { runs: [range], borders: [0x1000, 0x2000] });
}

/** Two adjacent mappings, on both sides of 4 GiB. */
export function mappedWorld(): World {
  const boundary = 2 ** 32;
  const ranges: Run[] = [[boundary - 0x800, 0x800], [boundary, 0x800]];
  const memory = GuestMemoryMmap.fromRanges(ranges.map(([addr, size]) => [gpa(addr), size]));
  return worldOf("adjacent mappings", { memory, ranges }, {
    runs: [[boundary - 0x800, 0x1000]],
    borders: [boundary - 0x800, boundary, boundary + 0x800],
  });
}

/** Two regions with a hole between them, and one at the end of the address space. */
export function holeWorld(): World {
  const ranges: Run[] = [[0, 0x800], [0x900, 0x700], [END - 0x400, 0x400]];
  const memory = GuestMemoryHeap.fromRanges(ranges.map(([addr, size]) => [gpa(addr), size]));
  return worldOf("memory with holes", { memory, ranges }, {
    runs: ranges,
    borders: [0x800, 0x900, 0x1000, END - 0x400, END],
  });
}

/** Host memory, a region elsewhere, and host memory again, without holes. */
export function elsewhereWorld(): World {
  const memory = GuestRegionCollection.fromRegions([
    new GuestRegionHeap(gpa(0x1000), 0x400),
    new ElsewhereRegion(0x1400, 0x800),
    new GuestRegionHeap(gpa(0x1c00), 0x400),
  ]);
  const ranges: Run[] = [[0x1000, 0x400], [0x1400, 0x800], [0x1c00, 0x400]];
  return worldOf("memory with a region elsewhere", { memory, ranges }, {
    runs: [[0x1000, 0x1000]],
    borders: [0x1000, 0x1400, 0x1c00, 0x2000],
  });
}

/** Memory behind an IOMMU: pages out of order, a hole, and a page that may only be read. */
export function iommuWorld(): World {
  const page = 0x200;
  const physical = GuestMemoryHeap.fromRanges([[gpa(0), 0x1000], [gpa(0x1000), 0x400]]);
  const ranges: Run[] = [[0, 0x1000], [0x1000, 0x400]];
  const pages = new Map<number, number>();
  const first = 0x40;
  for (const [i, frame] of [3, 4, 7, 1, 8, 5].entries()) pages.set(first + i, frame);
  for (const [i, frame] of [6, 2].entries()) pages.set(first + 8 + i, frame);
  const readOnly = first + 10;
  pages.set(readOnly, 9);
  const tlb = new Iotlb();
  for (const [at, frame] of pages) {
    const permissions = at === readOnly ? Permissions.Read : Permissions.ReadWrite;
    tlb.setMapping(gpa(at * page), gpa(frame * page), page, permissions);
  }
  const memory = new IommuMemory(physical, {
    translate(iova, length, permissions) {
      try {
        return tlb.lookup(iova, length, permissions);
      } catch (error) {
        if (!(error instanceof IotlbFails)) throw error;
        throw new CannotResolve({ base: iova, length }, error.message);
      }
    },
  });
  const translate = (addr: number) => {
    const frame = pages.get(Math.floor(addr / page));
    return frame === undefined ? undefined : frame * page + addr % page;
  };
  const runs: Run[] = [[first * page, 6 * page], [(first + 8) * page, 2 * page]];
  return worldOf("memory behind an IOMMU", { memory: physical, ranges }, {
    ...{ memory, runs, translate },
    borders: [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11].map((i) => (first + i) * page),
    mayWrite: (addr) => Math.floor(addr / page) !== readOnly,
  });
}
