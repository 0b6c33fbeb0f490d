/**
 * Backends of tests: some that are right, and some that are not.
 *
 * @module
 */
import {
  type AtomicAccess,
  type ByteValued,
  GuestAddress,
  GuestMemoryHeap,
  GuestRegionCollection,
  GuestRegionHeap,
  IommuMemory,
  MemoryRegionAddress,
} from "../../mod.ts";
import type { Backend } from "../../src/bench/mod.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import { TableIommu } from "../support/iommu.ts";

/** Memory whose bytes are not in host memory. */
export const elsewhere: Backend = {
  name: "elsewhere",
  make: (size) => GuestRegionCollection.fromRegions([new ElsewhereRegion(0, size)]),
};

/** Memory in two regions that are adjacent. */
export const twoRegions: Backend = {
  name: "two regions",
  make: (size) =>
    GuestMemoryHeap.fromRanges([
      [GuestAddress(0), size / 2],
      [GuestAddress(size / 2), size / 2],
    ]),
};

/** Memory behind an IOMMU. */
export const behindIommu: Backend = {
  name: "behind an IOMMU",
  make: (size) => {
    const physical = GuestMemoryHeap.fromRanges([[GuestAddress(0x10_0000), size]]);
    const iommu = new TableIommu().map(0, 0x10_0000, size);
    return new IommuMemory(physical, iommu);
  },
};

/** Memory that no system has. */
export const nowhere: Backend = { name: "nowhere", make: () => undefined };

/** A backend of regions of a class. */
export function ofRegion(
  name: string,
  Region: new (startAddr: GuestAddress, size: number) => GuestRegionHeap,
): Backend {
  return {
    name,
    make: (size) => GuestRegionCollection.fromRegions([new Region(GuestAddress(0), size)]),
  };
}

/** Forgets what is stored atomically. */
export class ForgettingRegion extends GuestRegionHeap {
  override store<T extends number | bigint>(_: AtomicAccess<T>, _value: T): void {}
}

/** Writes one byte too many. */
export class OverrunningRegion extends GuestRegionHeap {
  override writeObj<T>(codec: ByteValued<T>, value: T, addr: MemoryRegionAddress): void {
    super.writeObj(codec, value, addr);
    super.write(Uint8Array.of(0x77), MemoryRegionAddress(addr + codec.byteLength));
  }
}

/** Has the value of another place. */
export class MisplacingRegion extends GuestRegionHeap {
  override readObj<T>(codec: ByteValued<T>, addr: MemoryRegionAddress): T {
    return super.readObj(codec, MemoryRegionAddress(addr === 0 ? 64 : addr - 4));
  }
}

/** Says that it read fewer bytes than it did. */
export const miscounting: Backend = {
  name: "miscounting",
  make: (size) =>
    Object.assign(GuestMemoryHeap.fromRanges([[GuestAddress(0), size]]), { read: () => 3 }),
};
