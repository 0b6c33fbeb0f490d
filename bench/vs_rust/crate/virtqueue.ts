/**
 * Requests through a virtqueue, as the Rust side takes them by `virtio-queue`: the same queue, the
 * same chains, the same buffers.
 *
 * A request is a chain of three descriptors: a header of 16 bytes to read, a buffer of 4 KiB to
 * write, a status byte to write. All heads are in the available ring beforehand. To make the next
 * one available, both sides store the driver's index.
 *
 * @module
 */
import {
  AtomicBitmap,
  GuestAddress,
  guestAddress,
  GuestMemoryMmap,
  struct,
  u16,
  u32,
  u8,
} from "@vmm/guest-memory";
import { Virtqueue } from "@vmm/guest-memory/virtio";
import { consume } from "../../../src/bench/sink.ts";
import { alignedBytes, KIB, MIB } from "../../workload.ts";
import type { Case } from "../../../src/bench/harness.ts";

const REGION_SIZE = 16 * MIB;
const PAGE = 4 * KIB;
const SIZE = 256;
const CHAINS = Math.floor(SIZE / 3);
const QUEUE = {
  size: SIZE,
  descTable: GuestAddress(0x1000),
  availRing: GuestAddress(0x2000),
  usedRing: GuestAddress(0x3000),
};
const HEADERS = 0x4000;
const HEADER_STRIDE = 64;
const HEADER_SIZE = 16;
const DATA = 0x10_0000;
const DATA_STRIDE = 0x1_1000;
const DATA_SIZE = 4 * KIB;
const NEXT = 1;
const WRITE = 2;

const Descriptor = struct({ addr: guestAddress, len: u32, flags: u16, next: u16 });
const Header = struct({ type: u32, reserved: u32, sector: guestAddress });

/** What the names end in of cases beside Rust that takes descriptor after descriptor. */
export const BY_DESCRIPTOR = "/by_descriptor";

/**
 * The cases. The Rust side has each of the four twice: by the crate's `Reader` and `Writer`, which do
 * what the parts of a chain do here, and descriptor by descriptor.
 */
export function* virtqueueCases(): Generator<Case> {
  for (const how of ["", BY_DESCRIPTOR]) {
    for (const kind of ["request", "tracked"] as const) {
      for (const length of [0, DATA_SIZE]) {
        yield requests(`virtqueue/${kind}/${length}${how}`, kind === "tracked", length);
      }
    }
  }
}

function requests(name: string, isTracked: boolean, length: number): Case {
  const memory = GuestMemoryMmap.fromRanges(
    [[GuestAddress(0), REGION_SIZE]],
    isTracked ? { bitmap: (len) => new AtomicBitmap(len, PAGE) } : {},
  );
  const driver = fillRing(memory);
  const queue = new Virtqueue(memory, QUEUE);
  const data = alignedBytes(DATA_SIZE, 64).subarray(0, length).fill(0x5a);
  let index = 0;
  return {
    name,
    run(iterations) {
      for (let i = 0; i < iterations; i++) {
        driver[1] = ++index;
        const chain = queue.pop()!;
        consume(chain.readable.readObj(Header).sector);
        const status = chain.writable.splitAt(DATA_SIZE);
        chain.writable.writeSlice(data);
        status.writeObj(u8, 0);
        queue.addUsed(chain, length + 1);
      }
    },
  };
}

// Makes every page present and dirty, and all chains available but for the index, which the driver
// stores to the second element of what is returned.
function fillRing(memory: GuestMemoryMmap): Uint16Array {
  const zeros = new Uint8Array(PAGE);
  for (let page = 0; page < REGION_SIZE; page += PAGE) memory.writeSlice(zeros, GuestAddress(page));
  for (let chain = 0; chain < CHAINS; chain++) {
    const head = chain * 3;
    const header = GuestAddress(HEADERS + chain * HEADER_STRIDE);
    const data = GuestAddress(DATA + chain * DATA_STRIDE);
    const status = GuestAddress(header + HEADER_SIZE);
    const descriptors = [
      { addr: header, len: HEADER_SIZE, flags: NEXT, next: head + 1 },
      { addr: data, len: DATA_SIZE, flags: NEXT | WRITE, next: head + 2 },
      { addr: status, len: 1, flags: WRITE, next: 0 },
    ];
    for (const [i, descriptor] of descriptors.entries()) {
      memory.writeObj(Descriptor, descriptor, GuestAddress(QUEUE.descTable + (head + i) * 16));
    }
    const request = { type: 0, reserved: 0, sector: GuestAddress(chain * 8) };
    memory.writeObj(Header, request, header);
  }
  for (let entry = 0; entry < SIZE; entry++) {
    memory.writeObj(u16, entry % CHAINS * 3, GuestAddress(QUEUE.availRing + 4 + entry * 2));
  }
  const { buffer, byteOffset } = memory.getSlice(QUEUE.availRing, 4).rawView();
  return new Uint16Array(buffer, byteOffset, 2);
}
