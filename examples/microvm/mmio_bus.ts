/**
 * The devices whose registers are in the guest's address space, where it has no memory.
 *
 * @module
 */
import type { GuestAddress } from "@vmm/guest-memory";

/** A device with registers in memory. It belongs to the thread of one virtual CPU. */
export interface MmioDevice {
  /** What the guest reads at an offset. `size` is 1, 2 or 4 bytes. */
  read(offset: number, size: number): number;
  /** Takes what the guest writes at an offset. */
  write(offset: number, value: number, size: number): void;
}

/** Where the registers of a device are. */
export interface MmioWindow {
  readonly start: GuestAddress;
  readonly length: number;
  readonly device: MmioDevice;
}

/** All of them. */
export class MmioBus {
  readonly #windows: MmioWindow[] = [];

  /** Gives a device its place. */
  attach(window: MmioWindow): void {
    this.#windows.push(window);
  }

  /** The device with an address, and where it is; `undefined` if there is none. */
  at(address: number): MmioWindow | undefined {
    for (const window of this.#windows) {
      if (address >= window.start && address < window.start + window.length) return window;
    }
    return undefined;
  }
}
