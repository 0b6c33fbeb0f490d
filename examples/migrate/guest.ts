/**
 * The guest: its memory, and what a program in it has to do.
 *
 * @module
 */
import { AtomicBitmap, GuestAddress, GuestMemoryMmap, pageSize } from "@vmm/guest-memory";

/**
 * Who finds what the guest writes, and so how it writes: the library's bitmaps by the library, the
 * kernel by views, KVM in a virtual machine.
 */
export const TRACKERS = ["bitmap", "kernel", "kvm"] as const;
/** Who finds what the guest writes. */
export type TrackerName = typeof TRACKERS[number];

/** Steps of a program between two looks at its orders, so that it stops within microseconds. */
export const BATCH = 64;

/**
 * A program that only writes. What it does follows from the number of steps that it has made, so the
 * same steps give the same memory anywhere.
 */
export interface Program {
  /**
   * Makes {@linkcode BATCH} steps.
   *
   * @param step The number of the first.
   */
  run(step: number): void;
  /** Called when the program is paused. */
  settle?(): void;
}

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

/** The bytes of whole pages. */
export function wholePages(length: number): number {
  return length - length % pageSize();
}
