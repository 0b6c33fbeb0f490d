/**
 * The layout of a split virtqueue: Virtual I/O Device (VIRTIO) version 1.2, section 2.7. All fields
 * are little-endian, as every platform of Deno is.
 *
 * @module
 */
import type { GuestAddress } from "../address.ts";
import { InvalidQueue } from "../error/virtqueue_error.ts";
import { checkFlag, checkNumber } from "../text/argument.ts";
import { hex } from "../text/number_format.ts";

/** Where a queue is, and how far the device has come: all that {@linkcode Virtqueue} needs. */
export interface VirtqueueState {
  /** Descriptors and ring entries: a power of two up to 32768. */
  readonly size: number;
  /** Guest address of the descriptor table: a multiple of 16. */
  readonly descTable: GuestAddress;
  /** Guest address of the available ring, which the driver writes: a multiple of 2. */
  readonly availRing: GuestAddress;
  /** Guest address of the used ring, which the device writes: a multiple of 4. */
  readonly usedRing: GuestAddress;
  /** Whether `VIRTIO_F_EVENT_IDX` (29) was negotiated; false by default. */
  readonly eventIdx?: boolean;
  /** Whether `VIRTIO_F_INDIRECT_DESC` (28) was negotiated; false by default. */
  readonly indirect?: boolean;
  /** The index of the available ring up to which chains were taken: 16 bits; 0 by default. */
  readonly nextAvail?: number;
  /** The index of the used ring up to which chains were given back: 16 bits; 0 by default. */
  readonly nextUsed?: number;
  /** Chains given back since `needsNotification()` was called, up to 2^16; 0 by default. */
  readonly unsignalled?: number;
}

/** The chain continues at `next`: `VIRTQ_DESC_F_NEXT`, section 2.7.5. */
export const DESC_NEXT = 1;
/** The device may only write: `VIRTQ_DESC_F_WRITE`. */
export const DESC_WRITE = 2;
/** The bytes are a table of descriptors: `VIRTQ_DESC_F_INDIRECT`. */
export const DESC_INDIRECT = 4;
/** `struct virtq_desc`: le64 addr, le32 len, le16 flags, le16 next. */
export const DESC_SIZE = 16;
/** The driver wants no notification: `VIRTQ_AVAIL_F_NO_INTERRUPT`, section 2.7.6. */
export const AVAIL_NO_INTERRUPT = 1;
/** The device wants no notification: `VIRTQ_USED_F_NO_NOTIFY`, section 2.7.8. */
export const USED_NO_NOTIFY = 1;

/** So many chains given back have passed every index that a driver can wait for. */
export const MAX_UNSIGNALLED: number = 2 ** 16;

/** The largest queue: section 2.7. */
export const MAX_QUEUE_SIZE = 32_768;

/** Bytes of a descriptor table. */
export function descTableLength(size: number): number {
  return DESC_SIZE * size;
}

/** Bytes of `struct virtq_avail`: flags, idx, ring, used_event of 16 bits each (section 2.7.6). */
export function availRingLength(size: number): number {
  return 6 + 2 * size;
}

/**
 * Bytes of `struct virtq_used`: flags and idx of 16 bits, a ring of id and len of 32 bits,
 * avail_event of 16 bits (section 2.7.8).
 */
export function usedRingLength(size: number): number {
  return 6 + 8 * size;
}

/**
 * Copies a state, with all that was left out.
 *
 * @throws {InvalidQueue} The size is impossible, an address is not aligned (section 2.7), or an
 * index has more than 16 bits.
 */
export function checkState(state: VirtqueueState): Required<VirtqueueState> {
  const { size, descTable, availRing, usedRing, eventIdx, indirect } = state;
  const { nextAvail = 0, nextUsed = 0, unsignalled = 0 } = state;
  checkNumber("size", size);
  const isPower = Number.isInteger(size) && (size & size - 1) === 0;
  if (!(isPower && size > 0 && size <= MAX_QUEUE_SIZE)) {
    throw new InvalidQueue(`its size is ${size}, not a power of two up to ${MAX_QUEUE_SIZE}`);
  }
  checkPlace("descTable", descTable, DESC_SIZE);
  checkPlace("availRing", availRing, 2);
  checkPlace("usedRing", usedRing, 4);
  checkUpTo("nextAvail", nextAvail, 0xffff);
  checkUpTo("nextUsed", nextUsed, 0xffff);
  checkUpTo("unsignalled", unsignalled, MAX_UNSIGNALLED);
  return {
    ...{ size, descTable, availRing, usedRing, nextAvail, nextUsed, unsignalled },
    ...{
      eventIdx: checkFlag("eventIdx", eventIdx) ?? false,
      indirect: checkFlag("indirect", indirect) ?? false,
    },
  };
}

function checkUpTo(name: string, value: number, limit: number): void {
  checkNumber(name, value);
  if (Number.isInteger(value) && value >= 0 && value <= limit) return;
  throw new InvalidQueue(`${name} is ${value}, not an integer up to ${limit}`);
}

function checkPlace(name: string, addr: GuestAddress, alignment: number): void {
  checkNumber(name, addr);
  if (Number.isSafeInteger(addr) && addr >= 0 && addr % alignment === 0) return;
  throw new InvalidQueue(`${name} is at ${hex(addr)}, not a multiple of ${alignment}`);
}
