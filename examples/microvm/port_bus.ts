/**
 * The I/O ports of the machine, and which device has which.
 *
 * @module
 */

/** A device with ports. It belongs to the thread of one virtual CPU. */
export interface PortDevice {
  /** What the guest reads from a port. `size` is 1, 2 or 4 bytes. */
  read(port: number, size: number): number;
  /** Takes what the guest writes to a port. */
  write(port: number, value: number, size: number): void;
}

/** What nobody listens at: writes are lost, and reads give all ones. */
const NOBODY: PortDevice = { read: () => 0xffff_ffff, write: () => {} };

/** All 65,536 ports. */
export class PortBus {
  readonly #devices: PortDevice[] = [NOBODY];
  // Each port's device, by its index: a lookup is one load.
  readonly #owner = new Uint8Array(0x1_0000);

  /**
   * Gives ports to a device.
   *
   * @param first The first port.
   * @param count How many.
   * @param device The device.
   */
  attach(first: number, count: number, device: PortDevice): void {
    this.#owner.fill(this.#devices.push(device) - 1, first, first + count);
  }

  /** The device at a port. */
  at(port: number): PortDevice {
    return this.#devices[this.#owner[port]!]!;
  }
}
