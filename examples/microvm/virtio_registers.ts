/**
 * The registers of a virtio device in memory: Virtual I/O Device (VIRTIO) version 1.2, section
 * 4.2.2. Both sides use these names, the device and the tiny guest's driver.
 *
 * @module
 */
import { GuestAddress } from "@vmm/guest-memory";

/** Where the device is: in the hole below 4 GiB, as Firecracker has it. */
export const VIRTIO_START: GuestAddress = GuestAddress(0xd000_0000);
/** Bytes of its registers. */
export const VIRTIO_LENGTH = 0x1000;
/** Its interrupt line. */
export const VIRTIO_IRQ = 5;

/** Registers by their offset: 32 bits each, but for the configuration at the end. */
export const Register = {
  magicValue: 0x000,
  version: 0x004,
  deviceId: 0x008,
  vendorId: 0x00c,
  deviceFeatures: 0x010,
  deviceFeaturesSel: 0x014,
  driverFeatures: 0x020,
  driverFeaturesSel: 0x024,
  queueSel: 0x030,
  queueNumMax: 0x034,
  queueNum: 0x038,
  queueReady: 0x044,
  queueNotify: 0x050,
  interruptStatus: 0x060,
  interruptAck: 0x064,
  status: 0x070,
  queueDescLow: 0x080,
  queueDescHigh: 0x084,
  queueDriverLow: 0x090,
  queueDriverHigh: 0x094,
  queueDeviceLow: 0x0a0,
  queueDeviceHigh: 0x0a4,
  shmLenLow: 0x0b0,
  shmLenHigh: 0x0b4,
  configGeneration: 0x0fc,
  config: 0x100,
} as const;

/** What {@linkcode Register.magicValue} says: "virt". */
export const MAGIC = 0x7472_6976;

/** Bits of {@linkcode Register.status}: section 2.1. */
export const Status = {
  acknowledge: 1,
  driver: 2,
  driverOk: 4,
  featuresOk: 8,
  needsReset: 64,
  failed: 128,
} as const;

/** Bits of {@linkcode Register.interruptStatus}. */
export const Interrupt = { usedBuffer: 1, configChange: 2 } as const;

/** Features of all devices, as bits of the word that they are in: section 6. */
export const Feature = {
  /** `VIRTIO_F_INDIRECT_DESC` (28). */
  indirect: 0x1000_0000,
  /** `VIRTIO_F_EVENT_IDX` (29). */
  eventIdx: 0x2000_0000,
  /** `VIRTIO_F_VERSION_1` (32), bit 0 of word 1. */
  version1: 1,
} as const;
