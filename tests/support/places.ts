/**
 * Memory of either kind at each level, with a number as address: 32 bytes, zeroed.
 *
 * @module
 */
import {
  type Bytes,
  GuestAddress,
  GuestMemoryHeap,
  GuestMemoryMmap,
  IommuMemory,
  type VolatileSlice,
} from "../../mod.ts";

/** Memory, what closes it, and the slice under it. */
export interface Place extends Disposable {
  readonly memory: Bytes<number>;
  readonly slice: VolatileSlice;
  close(): void;
}

/** Bytes of each. */
export const SIZE = 32;

const MAKERS = {
  heap: () => GuestMemoryHeap.fromRanges([[GuestAddress(0), SIZE]]),
  mapped: () => GuestMemoryMmap.fromRanges([[GuestAddress(0), SIZE]]),
};
const LEVELS = ["slice", "region", "map", "map behind an IOMMU"] as const;

function placeOf(kind: keyof typeof MAKERS, level: typeof LEVELS[number]): Place {
  const guest = MAKERS[kind]();
  const region = guest.findRegion(GuestAddress(0))!;
  const slice = region.asVolatileSlice();
  const levels = {
    slice,
    region,
    map: guest,
    "map behind an IOMMU": new IommuMemory(guest, {
      translate: (base, length) => [{ base, length }],
    }),
  };
  return {
    memory: levels[level] as Bytes<number>,
    slice,
    close: () => guest.close(),
    [Symbol.dispose]: () => guest.close(),
  };
}

/** Makes each by its name. */
export const PLACES: Readonly<Record<string, () => Place>> = Object.fromEntries(
  (Object.keys(MAKERS) as (keyof typeof MAKERS)[]).flatMap((kind) =>
    LEVELS.map((level) => [`${kind} ${level}`, () => placeOf(kind, level)])
  ),
);
