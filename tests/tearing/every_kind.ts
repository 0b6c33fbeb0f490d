/**
 * Memory of every kind that two threads can share, and the ways to one integer in it.
 *
 * @module
 */
import {
  type AtomicAccess,
  AtomicBitmap,
  type Bytes,
  GuestAddress,
  GuestMemoryMmap,
  GuestRegionCollection,
  GuestRegionHeap,
  GuestRegionMmap,
  IommuMemory,
  MmapRegion,
  type MmapRegionHandle,
  u16,
  u32,
  u64,
} from "../../mod.ts";

/** Bytes of the memory. */
export const SIZE = 0x1000;
/** Where the integer is. */
export const AT = 0x7f8;
const IOVA = 0x5000;

/** What a Worker is given of the memory: one of the two. */
export interface Shared {
  readonly buffer?: SharedArrayBuffer;
  readonly mapping?: MmapRegionHandle;
}

/** The ways to the integer. */
export const WAYS = ["slice", "map", "IOMMU", "IOMMU with a bitmap"] as const;
export type Way = typeof WAYS[number];

/** The integers that are toggled. */
export const CODECS = { u16, u32, u64 } as unknown as Record<string, AtomicAccess<number | bigint>>;

/** What the Worker does until `control` says to stop. */
export interface Order {
  readonly shared: Shared;
  readonly way: Way;
  readonly codec: keyof typeof CODECS;
  readonly atomic: boolean;
  /** Element 0: 1 to stop. Element 1: 1 once it writes. */
  readonly control: SharedArrayBuffer;
}

/** Memory that is shared, as its bytes are reached in one way. */
export interface Place extends Disposable {
  readonly memory: Bytes<number>;
  readonly at: number;
}

/** Opens shared memory in one thread. */
export function open({ buffer, mapping }: Shared, way: Way): Place {
  const region = buffer === undefined
    ? new GuestRegionMmap(MmapRegion.attach(mapping!), GuestAddress(0))
    : new GuestRegionHeap(GuestAddress(0), buffer);
  const physical = GuestRegionCollection.fromRegions<GuestRegionMmap | GuestRegionHeap>([region]);
  const dispose = { [Symbol.dispose]: () => physical.close() };
  if (way === "slice") return { ...dispose, memory: region.asVolatileSlice(), at: AT };
  if (way === "map") return { ...dispose, memory: physical as Bytes<number>, at: AT };
  const memory = new IommuMemory(
    physical,
    { translate: (iova, length) => [{ base: GuestAddress(iova - IOVA), length }] },
    way === "IOMMU" ? {} : { bitmap: new AtomicBitmap(0x10000) },
  );
  return { ...dispose, memory: memory as Bytes<number>, at: IOVA + AT };
}

/** All bits zero and all bits one. */
export function values(codec: AtomicAccess<number | bigint>): [number | bigint, number | bigint] {
  if (codec.byteLength === 8) return [0n, 2n ** 64n - 1n];
  return [0, 2 ** (codec.byteLength * 8) - 1];
}

/** Maps memory, of a file if there is one, or makes it on the heap, to be shared once for a thread. */
export interface Kind extends Disposable {
  share(): Shared;
}

/** Memory of every kind. */
export const KINDS: Record<string, () => Kind> = {
  "a SharedArrayBuffer": () => {
    const buffer = new SharedArrayBuffer(SIZE);
    return { share: () => ({ buffer }), [Symbol.dispose]() {} };
  },
  "mapped memory": () => kindOf(GuestMemoryMmap.fromRanges([[GuestAddress(0), SIZE]])),
};

/** A mapping of one region as a kind. */
export function kindOf(memory: GuestMemoryMmap): Kind {
  const [region] = memory;
  return {
    share: () => ({ mapping: region!.mmap.share() }),
    [Symbol.dispose]: () => memory.close(),
  };
}
