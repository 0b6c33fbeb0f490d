/**
 * The accesses that kinds of memory are compared by.
 *
 * @module
 */
import type { IoMemory } from "../guest/io_memory.ts";
import { byteSize } from "../text/number_format.ts";
import type { Access } from "./access.ts";
import { copyIn, copyOut } from "./copy_accesses.ts";
import { structRead, structWrite, u32Read, u32Write } from "./value_accesses.ts";
import { u64Load, u64Store } from "./value_accesses.ts";
import { addressTable, KIB, MIB, randomIntegers } from "./workload.ts";

/** The smallest memory that the accesses have room in, and what its size is a multiple of. */
export const SIZE_UNIT: number = MIB;

/**
 * The accesses.
 *
 * Those that are not random are in 64 KiB, one after another: what is measured is the access, and
 * not the machine's caches. Random ones are all over the memory.
 *
 * @param size Bytes of the memory: a multiple of {@linkcode SIZE_UNIT}.
 */
export function accesses(size: number): readonly Access[] {
  const inSequence = addressTable((i) => i * 64 % (64 * KIB));
  const below = randomIntegers();
  const random = addressTable(() => below(size / 64) * 64);
  return [
    u32Read("u32 read", inSequence),
    u32Write("u32 write", inSequence),
    u32Read("u32 read, random", random),
    u32Write("u32 write, random", random),
    u64Load("u64 load", inSequence),
    u64Store("u64 store", inSequence),
    structRead("struct read", inSequence),
    structWrite("struct write", inSequence),
    ...copies(size),
  ];
}

function copies(size: number): Access[] {
  const half = new Uint8Array(512).fill(0x5a);
  const page = new Uint8Array(4 * KIB).fill(0x5a);
  const large = new Uint8Array(MIB).fill(0x5a);
  const below = randomIntegers();
  const random = addressTable(() => below(size / 512) * 512);
  const plain = [half, page, large].map((buffer) => {
    const at = addressTable((i) => i * buffer.length % Math.max(buffer.length, 64 * KIB));
    return { what: byteSize(buffer.length), buffer, addresses: () => at, suffix: "" };
  });
  const kinds = [
    ...plain,
    { what: "512 B", buffer: half, addresses: () => random, suffix: ", random" },
    { what: "512 B", buffer: half, addresses: overBoundary, suffix: ", boundary" },
  ];
  return kinds.flatMap(({ what, buffer, addresses, suffix }) => [
    copyOut({ name: `${what} read${suffix}`, buffer, addresses }),
    copyIn({ name: `${what} write${suffix}`, buffer, addresses }),
  ]);
}

function overBoundary(boundary: number | undefined) {
  return boundary === undefined ? undefined : addressTable((i) => boundary - 256 + (i & 7) * 8);
}

/**
 * Where two regions of memory are adjacent, with room for an access over both.
 *
 * @param memory The memory.
 * @param size Bytes of it that are used.
 * @returns The address of the second region, or `undefined` where there are no two.
 */
export function boundaryOf(memory: IoMemory, size: number): number | undefined {
  let end: number | undefined;
  // Behind an IOMMU, and in memory that lists no regions, there is none to be known.
  for (const { startAddr, len } of memory.physicalMemory ?? []) {
    if (startAddr === end && len >= KIB && startAddr >= KIB && startAddr + KIB <= size) return end;
    end = startAddr + len;
  }
  return undefined;
}
