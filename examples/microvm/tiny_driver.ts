/**
 * A virtio driver as a list: what to write where, in order, to registers and to memory. A guest of
 * a few bytes writes the list that the host left in its memory.
 *
 * @module
 */
import type { GuestAddress } from "@vmm/guest-memory";
import { Feature, Register, Status, VIRTIO_START } from "./virtio_registers.ts";

/** A 32-bit write. */
export type Write = readonly [address: number, value: number];

/** A buffer of a request. */
export interface DriverBuffer {
  readonly address: GuestAddress;
  readonly length: number;
  /** Whether the device writes it; false by default. */
  readonly isWritable?: boolean;
}

/** What the status is after {@linkcode NEGOTIATION} if the device agrees. */
export const NEGOTIATED: number = Status.acknowledge | Status.driver | Status.featuresOk;

/** Section 3.1.1, steps 1 to 6: resets the device, and asks for no feature but version 1. */
export const NEGOTIATION: readonly Write[] = [
  register("status", 0),
  register("status", Status.acknowledge),
  register("status", Status.acknowledge | Status.driver),
  register("driverFeaturesSel", 0),
  register("driverFeatures", 0),
  register("driverFeaturesSel", 1),
  register("driverFeatures", Feature.version1),
  register("status", NEGOTIATED),
];

/** Step 8: the device is live. */
export const DRIVER_OK: Write = register("status", NEGOTIATED | Status.driverOk);

const DESC_NEXT = 1;
const DESC_WRITE = 2;

/** A queue for one request, in a page that is all zero but for what an earlier list wrote. */
export class TinyQueue {
  readonly #index: number;
  readonly #size = 4;
  readonly #desc: GuestAddress;
  readonly #avail: number;
  readonly #used: number;

  /**
   * Lays a queue out. Nothing is written.
   *
   * @param index Its number.
   * @param page Where it goes.
   */
  constructor(index: number, page: GuestAddress) {
    this.#index = index;
    this.#desc = page;
    this.#avail = page + 0x100;
    this.#used = page + 0x200;
  }

  /** Where flags (16 bits) and index (16 bits) of the used ring are: 0x10000 when it was served. */
  get usedIndex(): number {
    return this.#used;
  }

  /** Step 7: both rings are empty, and the device gets to know where they are. */
  setUp(): Write[] {
    return [
      [this.#avail, 0],
      [this.#used, 0],
      register("queueSel", this.#index),
      register("queueNum", this.#size),
      register("queueDescLow", this.#desc),
      register("queueDescHigh", 0),
      register("queueDriverLow", this.#avail),
      register("queueDriverHigh", 0),
      register("queueDeviceLow", this.#used),
      register("queueDeviceHigh", 0),
      register("queueReady", 1),
    ];
  }

  /** Makes a chain of buffers available, and notifies the device. */
  request(buffers: readonly DriverBuffer[]): Write[] {
    const descriptors = buffers.flatMap(({ address, length, isWritable = false }, i): Write[] => {
      const at = this.#desc + i * 16;
      const isLast = i === buffers.length - 1;
      const flags = (isLast ? 0 : DESC_NEXT) | (isWritable ? DESC_WRITE : 0);
      const next = isLast ? 0 : i + 1;
      return [[at, address], [at + 4, 0], [at + 8, length], [at + 12, flags | next << 16]];
    });
    return [
      ...descriptors,
      // The ring's first entry is descriptor 0; then the index, in the upper half, is 1.
      [this.#avail + 4, 0],
      [this.#avail, 1 << 16],
      register("queueNotify", this.#index),
    ];
  }
}

function register(name: keyof typeof Register, value: number): Write {
  return [VIRTIO_START + Register[name], value];
}
