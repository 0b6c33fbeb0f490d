/** Objects of the library, and what looks like them. */
import { openSync } from "node:fs";
import * as library from "../../mod.ts";
import { GuestAddress, type Iommu, type Permissions } from "../../mod.ts";
import { HostileError } from "./argument.ts";
import type { Argument } from "./argument.ts";
import { SIZE } from "./backing.ts";
import * as junk from "./junk.ts";
import type { Mischief } from "./mischief.ts";
import type { Random } from "./random.ts";
import type { Receiver, Setting } from "./receivers.ts";
import type { Subject } from "./subject.ts";

/** An offset in a region: often near its end, where the next one begins. */
export function edge(random: Random): number {
  if (random.chance(0.3)) return SIZE - 1 - random.int(40);
  return random.chance(0.3) ? random.int(40) : random.int(SIZE);
}

/** A bitmap in which some pages are dirty. */
export function atomicBitmap(random: Random): library.AtomicBitmap {
  const bitmap = new library.AtomicBitmap(6400, 64);
  bitmap.markDirty(random.int(6400), random.int(1000));
  return bitmap;
}

/** A region of a class: the world's, if they are of it. */
export function regionOf(
  setting: Setting,
  Region: abstract new (...args: never) => object,
  region: Receiver,
): Subject {
  if (setting.world.regions[0] instanceof Region) return region(setting);
  const start = GuestAddress(0x1000);
  const made = Region === library.GuestRegionMmap
    ? library.GuestRegionMmap.fromRange(start, SIZE)
    : new library.GuestRegionHeap(start, SIZE);
  setting.world.made.push(made);
  return { object: made, label: `a new ${made.constructor.name}`, address: edge };
}

/** Marks that were taken. */
export function dirtySet(random: Random): library.DirtySet {
  const bitmap = atomicBitmap(random);
  const memory = library.GuestMemoryHeap.fromRanges([[GuestAddress(0x1000), 6400]], {
    bitmap: () => bitmap,
  });
  bitmap.markDirty(1000, 100);
  return library.takeDirty(memory);
}

const zero = openSync("/dev/zero", "r+");
// A descriptor that is never open.
const NOBODY = 2 ** 31 - 1;

/** A stream of a device. */
export function descriptor(random: Random): library.Fd {
  return new library.Fd(random.chance(0.8) ? zero : NOBODY);
}

/** An open file, or one that never is. */
export function openFile(random: Random): number {
  return random.chance(0.5) ? zero : NOBODY;
}

/** Translations of a few pages. */
export function iotlb(random: Random): library.Iotlb {
  const made = new library.Iotlb();
  for (let i = 0; i < 3; i++) {
    const permissions = random.pick([1, 2, 3] as const);
    made.setMapping(
      GuestAddress(i * 0x2000),
      GuestAddress(random.int(0x6000)),
      0x1000,
      permissions,
    );
  }
  return made;
}

/** Something that should translate addresses. */
export function iommu(random: Random, mischief: Mischief): Argument {
  const range = (base: unknown, length: unknown) => [{ base, length }];
  const odd = () => junk.anything(random, mischief).value;
  const half = (length: number) => Math.max(Math.floor(length / 2), 1);
  type Translate = (iova: number, length: number, permissions: number) => unknown;
  const [name, translate] = random.pick<[string, Translate]>([
    ["an IOMMU of identity", range],
    ["an IOMMU that answers with junk", () => odd()],
    [
      "an IOMMU of junk ranges",
      (iova, length) => [{ base: iova, length: odd() }, { base: odd(), length }],
    ],
    ["an IOMMU of empty ranges", (iova) => Array(9).fill({ base: iova, length: 0 })],
    ["an IOMMU that gives too much", (iova, length) => range(iova, length * 2)],
    ["an IOMMU that gives too little", (iova, length) => range(iova, half(length))],
    ["an endless IOMMU", function* (iova) {
      for (;;) yield { base: iova, length: 0.001 };
    }],
    ["an IOMMU that repeats itself", function* (iova, length) {
      for (let done = 0; done < length; done++) {
        if (done > 10_000_000) throw new Error("asked for ever");
        yield { base: iova, length: 1 };
      }
    }],
    ["an IOMMU that throws", () => {
      throw new HostileError("translate");
    }],
    ["an IOMMU that throws later", function* (iova, length) {
      yield { base: iova, length: half(length) };
      throw new HostileError("translate");
    }],
    ["an IOMMU of changing ranges", (iova, length) => {
      let asked = 0;
      return [{
        base: iova,
        get length() {
          return asked++ === 0 ? length : 2 ** 40;
        },
      }];
    }],
  ]);
  const value = { translate: mischief.then(translate as never) } as Iommu;
  return { value, label: `${name} that does ${mischief.last}` };
}

/** A bitmap that is not as it should be. */
export function bitmap(random: Random, mischief: Mischief): library.Bitmap {
  const answer = junk.anything(random, mischief).value;
  const made: library.Bitmap = {
    markDirty: mischief.then(() => {}),
    dirtyAt: mischief.then(() => answer as boolean),
    sliceAt: mischief.then(() => random.chance(0.8) ? made : answer as library.Bitmap),
  };
  return made;
}

/** Permissions that there are. */
export function permissions(random: Random): Permissions {
  return random.pick([1, 2, 3, 3, 3] as const);
}
