/**
 * Accesses that only guest memory has: across a boundary of regions, into a hole, and of a structure
 * that a driver and a device share.
 *
 * @module
 */
import {
  asSlice,
  GuestAddress,
  type GuestMemory,
  InvalidGuestAddress,
  struct,
  u16le,
  u32le,
  u64le,
} from "@vmm/guest-memory";
import { DemoError } from "./demo_error.ts";
import { hex, hexBytes, size } from "../lib/units.ts";

/** What was shown, and what was seen, a line each. */
export interface Stop {
  /** One line. */
  readonly title: string;
  /** What happened. */
  readonly seen: readonly string[];
}

const LENGTH = 64;

/**
 * Writes a pattern over the first boundary between two regions, reads it, and puts back what was
 * there.
 */
export function crossBoundary(memory: GuestMemory): Stop {
  const boundary = firstBoundary(memory);
  const start = GuestAddress(boundary - LENGTH / 2);
  const pattern = Uint8Array.from({ length: LENGTH }, (_, i) => i * 7 & 0xff);
  const before = new Uint8Array(LENGTH);
  const found = new Uint8Array(LENGTH);
  memory.readSlice(before, start);
  const written = memory.write(pattern, start);
  const read = memory.read(found, start);
  const parts = Array.from(memory.getSlices(start, LENGTH), ({ len }) => len);
  memory.writeSlice(before, start);
  if (!found.every((byte, i) => byte === pattern[i])) {
    throw new DemoError(`the pattern at ${hex(start)} does not read back`);
  }
  return {
    title: `A pattern across the boundary of two regions at ${size(boundary)}`,
    seen: [
      `write(${LENGTH} bytes, ${hex(start)}) = ${written}: ${parts.join(" + ")} bytes, ` +
      `${parts.length} host mappings`,
      `read(${LENGTH} bytes, ${hex(start)}) = ${read}: the same bytes`,
    ],
  };
}

/** Reads in the first hole, and into it. */
export function meetHole(memory: GuestMemory): Stop {
  const hole = firstHole(memory);
  const before = GuestAddress(hole - LENGTH / 2);
  const buffer = new Uint8Array(LENGTH);
  const error = failureAt(memory, hole);
  return {
    title: `The hole at ${size(hole)}`,
    seen: [
      `read(${LENGTH} bytes, ${hex(hole)}) throws ${error.name}:`,
      `  "${error.message}"`,
      `read(${LENGTH} bytes, ${hex(before)}) = ${memory.read(buffer, before)}: ` +
      "short, it ends where the hole begins",
    ],
  };
}

/** A descriptor of a virtqueue (virtio 1.2, section 2.7.5). */
const Descriptor = struct({ addr: u64le, len: u32le, flags: u16le, next: u16le });
/** Low memory, where nothing is loaded. */
const TABLE = GuestAddress(0x1000);

/**
 * Offers a buffer like a driver, and reads it like a device: first the descriptor, then what it
 * points to.
 *
 * @param memory The memory.
 * @param address The buffer of 16 bytes.
 */
export function shareDescriptor(memory: GuestMemory, address: GuestAddress): Stop {
  memory.writeObj(Descriptor, { addr: BigInt(address), len: 16, flags: 0, next: 0 }, TABLE);
  const { addr, len } = memory.readObj(Descriptor, TABLE);
  const raw = new Uint8Array(Descriptor.byteLength);
  memory.readSlice(raw, TABLE);
  // A device does not trust the number: GuestAddress() refuses what no address can be, and the
  // access what is in no region.
  const data = new Uint8Array(Math.min(len, LENGTH));
  const count = memory.read(data, GuestAddress(addr));
  if (asSlice(Descriptor, { addr, len, flags: 0, next: 0 }).some((byte, i) => byte !== raw[i])) {
    throw new DemoError(`the descriptor at ${hex(TABLE)} does not read back`);
  }
  return {
    title: "A virtqueue descriptor, by codec",
    seen: [
      `writeObj at ${hex(TABLE)}: ${hexBytes(raw)}`,
      `readObj: { addr: ${hex(addr)}, len: ${len}, flags: 0, next: 0 }`,
      `the ${count} bytes it points to: ${hexBytes(data.subarray(0, count))}`,
    ],
  };
}

function firstBoundary(memory: GuestMemory): GuestAddress {
  for (const { lastAddr } of memory) {
    if (memory.addressInRange(GuestAddress(lastAddr + 1))) return GuestAddress(lastAddr + 1);
  }
  throw new DemoError("no two regions of the memory touch");
}

function firstHole(memory: GuestMemory): GuestAddress {
  for (const { lastAddr } of memory) {
    if (!memory.addressInRange(GuestAddress(lastAddr + 1))) return GuestAddress(lastAddr + 1);
  }
  throw new DemoError("the memory has no hole");
}

function failureAt(memory: GuestMemory, address: GuestAddress): InvalidGuestAddress {
  try {
    memory.read(new Uint8Array(LENGTH), address);
  } catch (error) {
    if (error instanceof InvalidGuestAddress) return error;
    throw error;
  }
  throw new DemoError(`the hole at ${hex(address)} could be read`);
}
