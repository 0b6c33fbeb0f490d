/**
 * A virtio device's side of its driver: registers in memory (VIRTIO 1.2, section 4.2), queues, and
 * an interrupt. What the device does is up to a {@linkcode VirtioDevice}.
 *
 * A driver may write anything, anywhere, in any order. What it gets wrong costs it the device: the
 * status says `DEVICE_NEEDS_RESET`, and nothing is served until it resets.
 *
 * @module
 */
import { type GuestAddress, type GuestAddressSpace, GuestMemoryError } from "@vmm/guest-memory";
import { Virtqueue } from "@vmm/guest-memory/virtio";
import type { MmioDevice } from "./mmio_bus.ts";
import { Feature, Interrupt, MAGIC, Register, Status } from "./virtio_registers.ts";

/** Entries of a queue at most. */
const QUEUE_SIZE_MAX = 256;

/** What a device does, however its driver reaches it. */
export interface VirtioDevice {
  /** The kind of device: section 5. */
  readonly id: number;
  /** How many queues it has. */
  readonly queueCount: number;
  /**
   * Serves a queue: takes chains, and gives them back. Notifying the driver is not its task.
   *
   * @throws {GuestMemoryError} The driver broke a rule, and has to reset the device.
   */
  serve(index: number, queue: Virtqueue): void;
}

/** A 64-bit register in two halves. */
interface Halves {
  low: number;
  high: number;
}

/** What the driver says of a queue; the queue, once it is ready. */
class QueueRegisters {
  size = 0;
  readonly desc: Halves = { low: 0, high: 0 };
  readonly driver: Halves = { low: 0, high: 0 };
  readonly device: Halves = { low: 0, high: 0 };
  queue: Virtqueue | undefined;

  close(): void {
    this.queue?.close();
    this.queue = undefined;
  }
}

/** A device in memory. */
export class VirtioMmio implements MmioDevice, Disposable {
  readonly #space: GuestAddressSpace;
  readonly #device: VirtioDevice;
  readonly #interrupt: (level: boolean) => void;
  readonly #offered: readonly number[] = [Feature.indirect | Feature.eventIdx, Feature.version1];
  readonly #accepted = [0, 0];
  #deviceFeaturesSel = 0;
  #driverFeaturesSel = 0;
  #queueSel = 0;
  #queues: QueueRegisters[] = [];
  #interruptStatus = 0;
  #status = 0;

  /**
   * Connects the device.
   *
   * @param space The guest's memory.
   * @param device What it does.
   * @param interrupt Sets the level of the interrupt line; nobody cares by default.
   */
  constructor(
    space: GuestAddressSpace,
    device: VirtioDevice,
    interrupt: (level: boolean) => void = () => {},
  ) {
    this.#space = space;
    this.#device = device;
    this.#interrupt = interrupt;
    this.#reset();
  }

  /** Whether a driver uses the device. */
  get isDriven(): boolean {
    return (this.#status & (Status.driverOk | Status.needsReset)) === Status.driverOk;
  }

  /** What the guest reads. */
  read(offset: number, size: number): number {
    // Section 4.2.2.2: registers are read by 32 bits. There is no configuration.
    if (size !== 4) return 0;
    const selected = this.#queues[this.#queueSel];
    switch (offset) {
      case Register.magicValue:
        return MAGIC;
      case Register.version:
        return 2;
      case Register.deviceId:
        return this.#device.id;
      case Register.deviceFeatures:
        return this.#offered[this.#deviceFeaturesSel] ?? 0;
      case Register.queueNumMax:
        return selected === undefined ? 0 : QUEUE_SIZE_MAX;
      case Register.queueReady:
        return selected?.queue === undefined ? 0 : 1;
      case Register.interruptStatus:
        return this.#interruptStatus;
      case Register.status:
        return this.#status;
      case Register.shmLenLow:
      case Register.shmLenHigh:
        return 0xffff_ffff; // There is no such region.
      default:
        return 0;
    }
  }

  /** Takes what the guest writes. */
  write(offset: number, value: number, size: number): void {
    if (size !== 4) return;
    switch (offset) {
      case Register.deviceFeaturesSel:
        this.#deviceFeaturesSel = value;
        break;
      case Register.driverFeaturesSel:
        this.#driverFeaturesSel = value;
        break;
      case Register.driverFeatures:
        this.#accept(value);
        break;
      case Register.queueSel:
        this.#queueSel = value;
        break;
      case Register.queueNotify:
        this.notify(value);
        break;
      case Register.interruptAck:
        this.#setInterrupts(this.#interruptStatus & ~value);
        break;
      case Register.status:
        if (value === 0) this.#reset();
        else this.#setStatus(value & 0xff);
        break;
      default:
        this.#writeQueue(offset, value);
    }
  }

  /** Has the device serve a queue: the driver, or the world outside, has something for it. */
  notify(index: number): void {
    const queue = this.#queues[index]?.queue;
    if (queue === undefined || !this.isDriven) return;
    this.#orNeedsReset(() => {
      this.#device.serve(index, queue);
      if (queue.needsNotification()) this.#raise(Interrupt.usedBuffer);
    });
  }

  /** Takes the newest map of the memory. Queues let the old one go. */
  refresh(): void {
    this.#orNeedsReset(() => {
      for (const { queue } of this.#queues) queue?.refresh();
    });
  }

  /** Lets the memory go. */
  [Symbol.dispose](): void {
    this.#closeQueues();
  }

  #reset(): void {
    this.#closeQueues();
    this.#queues = Array.from({ length: this.#device.queueCount }, () => new QueueRegisters());
    this.#accepted.fill(0);
    this.#deviceFeaturesSel =
      this.#driverFeaturesSel =
      this.#queueSel =
      this.#status =
        0;
    this.#setInterrupts(0);
  }

  #accept(features: number): void {
    const word = this.#driverFeaturesSel;
    if ((this.#status & Status.featuresOk) === 0 && word < 2) this.#accepted[word] = features;
  }

  // The driver reads FEATURES_OK back: without it, it has to give the device up (section 3.1.1).
  #setStatus(value: number): void {
    const [low, high] = this.#accepted as [number, number];
    const isSubset = (low & ~this.#offered[0]!) === 0 && high === Feature.version1;
    const kept = this.#status & Status.needsReset;
    this.#status = value & ~(isSubset ? 0 : Status.featuresOk) | kept;
  }

  #writeQueue(offset: number, value: number): void {
    const selected = this.#queues[this.#queueSel];
    if (selected === undefined) return;
    switch (offset) {
      case Register.queueNum:
        selected.size = value;
        break;
      case Register.queueReady:
        this.#setReady(selected, value === 1);
        break;
      case Register.queueDescLow:
        selected.desc.low = value;
        break;
      case Register.queueDescHigh:
        selected.desc.high = value;
        break;
      case Register.queueDriverLow:
        selected.driver.low = value;
        break;
      case Register.queueDriverHigh:
        selected.driver.high = value;
        break;
      case Register.queueDeviceLow:
        selected.device.low = value;
        break;
      case Register.queueDeviceHigh:
        selected.device.high = value;
        break;
    }
  }

  #setReady(selected: QueueRegisters, isReady: boolean): void {
    selected.close();
    const isNegotiated = (this.#status & Status.featuresOk) !== 0;
    if (!isReady || !isNegotiated || selected.size > QUEUE_SIZE_MAX) return;
    const [features] = this.#accepted as [number, number];
    this.#orNeedsReset(() => {
      selected.queue = new Virtqueue(this.#space, {
        size: selected.size,
        descTable: addressOf(selected.desc),
        availRing: addressOf(selected.driver),
        usedRing: addressOf(selected.device),
        indirect: (features & Feature.indirect) !== 0,
        eventIdx: (features & Feature.eventIdx) !== 0,
      });
    });
  }

  #orNeedsReset(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof GuestMemoryError)) throw error;
      const wasDriven = this.isDriven;
      this.#closeQueues();
      this.#status |= Status.needsReset;
      // Section 2.1.2: only a driver that was done with its set-up gets a notification.
      if (wasDriven) this.#raise(Interrupt.configChange);
    }
  }

  #closeQueues(): void {
    for (const registers of this.#queues) registers.close();
  }

  #raise(bit: number): void {
    this.#setInterrupts(this.#interruptStatus | bit);
  }

  #setInterrupts(status: number): void {
    const wasRaised = this.#interruptStatus !== 0;
    this.#interruptStatus = status;
    if ((status !== 0) !== wasRaised) this.#interrupt(status !== 0);
  }
}

// Any number: Virtqueue refuses those that are no place for a ring.
function addressOf({ low, high }: Halves): GuestAddress {
  return high * 2 ** 32 + low as GuestAddress;
}
