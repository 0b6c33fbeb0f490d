/**
 * Where in guest memory the segments of a file go.
 *
 * @module
 */
import { ADDRESS_SPACE_END, GuestAddress, type GuestMemory } from "@vmm/guest-memory";
import { DemoError } from "./demo_error.ts";
import type { Elf, Segment } from "../lib/elf.ts";
import { hex, size } from "../lib/units.ts";

/** Low memory of a PC that programs leave alone: the BIOS's tables, the VGA, option ROMs. */
export const LOW_MEMORY = 0x10_0000;

/** A segment with its place, which is known to be in guest memory. */
export interface PlacedSegment extends Segment {
  /** The guest address of its first byte. */
  readonly start: GuestAddress;
  /** Bytes it takes from there. */
  readonly length: number;
}

/** Where a file goes. */
export interface Placement {
  /** What was added to every physical address of the file. */
  readonly base: number;
  /** The file's lowest physical address. */
  readonly lowest: bigint;
  /** The guest address where execution begins, if it is in a segment. */
  readonly entry: GuestAddress | undefined;
  /** The segments in the file's order. */
  readonly segments: readonly PlacedSegment[];
}

/**
 * Finds a place for each segment: at its physical address, or 1 MiB higher if the file wants to be
 * in low memory, as position-independent files do (they count from 0).
 *
 * @param elf The file's headers.
 * @param memory The memory to place it in.
 * @throws {DemoError} A segment is not in guest memory as a whole, or two overlap.
 */
export function place(elf: Elf, memory: GuestMemory): Placement {
  const lowest = elf.segments.reduce(
    (least, { physicalAddress }) => physicalAddress < least ? physicalAddress : least,
    elf.segments[0]!.physicalAddress,
  );
  const base = lowest < LOW_MEMORY ? LOW_MEMORY : 0;
  const segments = elf.segments.map((segment) => placeSegment(segment, base, memory));
  checkOverlaps(segments);
  return { base, lowest, entry: entryOf(elf, segments), segments };
}

function placeSegment(segment: Segment, base: number, memory: GuestMemory): PlacedSegment {
  const start = segment.physicalAddress + BigInt(base);
  const length = segment.memorySize;
  // Only what is a safe integer may become an address: rounding could move it into memory.
  const fits = start + length <= BigInt(ADDRESS_SPACE_END) && start < BigInt(ADDRESS_SPACE_END) &&
    memory.checkRange(GuestAddress(start), Number(length));
  if (!fits) {
    throw new DemoError(
      `segment ${segment.index} does not fit in guest memory: ` +
        `${size(length)} (${segment.access}) at ${hex(start)}, RAM is at ${ramOf(memory)}`,
    );
  }
  return { ...segment, start: GuestAddress(start), length: Number(length) };
}

function ramOf(memory: GuestMemory): string {
  const ranges: { start: number; end: number }[] = [];
  for (const { startAddr, len } of memory) {
    const last = ranges.at(-1);
    if (last?.end === startAddr) last.end += len;
    else ranges.push({ start: startAddr, end: startAddr + len });
  }
  return ranges.map(({ start, end }) => `${hex(start)}-${hex(end - 1)}`).join(" and ");
}

function checkOverlaps(segments: readonly PlacedSegment[]): void {
  const sorted = segments.toSorted((a, b) => a.start - b.start);
  for (let i = 1; i < sorted.length; i++) {
    const [before, after] = [sorted[i - 1]!, sorted[i]!];
    if (before.start + before.length > after.start) {
      throw new DemoError(
        `segments ${before.index} and ${after.index} overlap in guest memory at ` +
          hex(after.start),
      );
    }
  }
}

function entryOf({ entry }: Elf, segments: readonly PlacedSegment[]): GuestAddress | undefined {
  for (const { virtualAddress, memorySize, start } of segments) {
    const offset = entry - virtualAddress;
    if (offset >= 0n && offset < memorySize) return GuestAddress(start + Number(offset));
  }
  return undefined;
}
