/**
 * Which slot of the virtual machine each region of guest memory has.
 *
 * @module
 */
import {
  AtomicBitmap,
  BitmapSlice,
  type GuestRegionMmap,
  NoBitmap,
  Permissions,
} from "@vmm/guest-memory";
import type { Vm } from "./vm.ts";

/** The regions that the guest sees. */
export class MemorySlots {
  readonly #vm: Vm;
  readonly #logDirtyPages: boolean;
  // The region of each slot; `undefined` where the slot is free.
  readonly #regions: (GuestRegionMmap | undefined)[] = [];

  /**
   * Begins without memory.
   *
   * @param vm The machine.
   * @param logDirtyPages Whether KVM shall remember which pages the guest writes.
   */
  constructor(vm: Vm, logDirtyPages: boolean) {
    this.#vm = vm;
    this.#logDirtyPages = logDirtyPages;
  }

  /**
   * Shows the guest a region. What is mapped read-only, it may only read too.
   *
   * @throws {TypeError} KVM's log of dirty pages cannot be merged into its bitmap.
   */
  add(region: GuestRegionMmap): void {
    if (this.#logDirtyPages) mergeTarget(region);
    const free = this.#regions.indexOf(undefined);
    const slot = free < 0 ? this.#regions.length : free;
    this.#set(slot, region, region.len);
    this.#regions[slot] = region;
  }

  /** Takes a region from the guest. */
  remove(region: GuestRegionMmap): void {
    const slot = this.#slotOf(region);
    this.#set(slot, region, 0);
    this.#regions[slot] = undefined;
  }

  /**
   * Marks in the region's own bitmap, where the host's writes are marked already, what the guest
   * has written since the last time.
   *
   * @returns The guest's part alone: bit n is page n.
   */
  collectDirtyPages(region: GuestRegionMmap): Uint8Array {
    const log = this.#vm.takeDirtyLog(this.#slotOf(region), region.len);
    mergeTarget(region)?.merge(log, 0, region.len);
    return log;
  }

  #set(slot: number, region: GuestRegionMmap, size: number): void {
    this.#vm.setSlot({
      slot,
      guestAddress: region.startAddr,
      size,
      // Asking for the address keeps the memory mapped until it is closed, come what may.
      host: region.mmap.hostAddress(),
      readOnly: !Permissions.hasWrite(region.mmap.protection),
      logDirtyPages: this.#logDirtyPages,
    });
  }

  #slotOf(region: GuestRegionMmap): number {
    const slot = this.#regions.indexOf(region);
    if (slot < 0) throw new RangeError("Cannot find the slot of a region: the guest has it not");
    return slot;
  }
}

// The bitmap of a region, if it has one, which must have KVM's pages of 4 KiB.
function mergeTarget({ bitmap }: GuestRegionMmap): AtomicBitmap | BitmapSlice | undefined {
  if (bitmap === NoBitmap) return undefined;
  const fits = (bitmap instanceof AtomicBitmap || bitmap instanceof BitmapSlice) &&
    bitmap.pageSize === 4096 && (bitmap instanceof AtomicBitmap || bitmap.offset % 4096 === 0);
  if (fits) return bitmap;
  throw new TypeError(
    "Cannot log dirty pages: the region's bitmap is not an AtomicBitmap with pages of 4096 bytes, " +
      "nor a slice of one that begins at a page",
  );
}
