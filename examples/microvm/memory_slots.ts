/**
 * Which slot of the virtual machine each region of guest memory has.
 *
 * @module
 */
import { BitmapSlice, type GuestRegionMmap, Permissions } from "@vmm/guest-memory";
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

  /** Shows the guest a region. What is mapped read-only, it may only read too. */
  add(region: GuestRegionMmap): void {
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
    const { bitmap } = region;
    if (bitmap instanceof BitmapSlice) bitmap.bitmap.merge(log);
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
