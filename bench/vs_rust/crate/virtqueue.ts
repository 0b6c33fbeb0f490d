/**
 * Requests through a virtqueue, as `virtio-queue` 0.18 takes them on the Rust side: the same queue,
 * the same chains.
 *
 * A request is a chain of three descriptors: a header of 16 bytes to read, a buffer of 4 KiB to
 * write, a status byte to write. All heads are in the available ring beforehand. To make the next
 * one available, both sides store the driver's index.
 *
 * @module
 */
import { AtomicBitmap, GuestAddress, GuestMemoryMmap, struct, u16, u32 } from "@vmm/guest-memory";
import { guestAddress, u8 } from "@vmm/guest-memory";
import { Virtqueue } from "@vmm/guest-memory/virtio";
import { consume } from "../../sink.ts";
import { alignedBytes, KIB, MIB } from "../../workload.ts";
import type { Case } from "./harness.ts";

const SIZE = 256;
const CHAINS = Math.floor(SIZE / 3);
const DESC_TABLE = GuestAddress(0x1000);
const AVAIL_RING = GuestAddress(0x3000);
const USED_RING = GuestAddress(0x4000);
const HEADERS = 0x10000;
const DATA = 0x20000;
const DATA_LENGTH = 4 * KIB;

const Descriptor = struct({ addr: guestAddress, len: u32, flags: u16, next: u16 });
const Header = struct({ type: u32, reserved: u32, sector: guestAddress });
const NEXT = 1;
const WRITE = 2;

/** The four cases. */
export function* virtqueueCases(): Generator<Case> {
  for (const isTracked of [false, true]) {
    for (const length of [0, DATA_LENGTH]) {
      yield requests(isTracked ? "tracked" : "request", isTracked, length);
    }
  }
}

function requests(group: string, isTracked: boolean, length: number): Case {
  const memory = GuestMemoryMmap.fromRanges(
    [[GuestAddress(0), 2 * MIB]],
    isTracked ? { bitmap: (len) => new AtomicBitmap(len, 4 * KIB) } : {},
  );
  for (let chain = 0; chain < CHAINS; chain++) {
    const first = chain * 3;
    const status = HEADERS + chain * 0x100 + 16;
    const descriptors = [
      { addr: HEADERS + chain * 0x100, len: 16, flags: NEXT, next: first + 1 },
      { addr: DATA + chain * DATA_LENGTH, len: DATA_LENGTH, flags: NEXT | WRITE, next: first + 2 },
      { addr: status, len: 1, flags: WRITE, next: 0 },
    ];
    for (const [i, { addr, ...rest }] of descriptors.entries()) {
      const at = GuestAddress(DESC_TABLE + (first + i) * 16);
      memory.writeObj(Descriptor, { addr: GuestAddress(addr), ...rest }, at);
    }
    const header = { type: 0, reserved: 0, sector: GuestAddress(chain * 8) };
    memory.writeObj(Header, header, GuestAddress(HEADERS + chain * 0x100));
  }
  for (let i = 0; i < SIZE; i++) {
    memory.writeObj(u16, i % CHAINS * 3, GuestAddress(AVAIL_RING + 4 + i * 2));
  }
  const queue = new Virtqueue(memory, {
    ...{ size: SIZE, descTable: DESC_TABLE, availRing: AVAIL_RING, usedRing: USED_RING },
  });
  const view = memory.getSlice(AVAIL_RING, 4).rawView();
  const driver = new Uint16Array(view.buffer, view.byteOffset, 2);
  const data = alignedBytes(length, 4 * KIB).fill(0xa5);
  let index = 0;
  return {
    name: `virtqueue/${group}/${length}`,
    run(iterations) {
      for (let i = 0; i < iterations; i++) {
        driver[1] = ++index;
        const chain = queue.pop()!;
        consume(chain.readable.readObj(Header).sector);
        if (length > 0) chain.writable.writeSlice(data);
        else chain.writable.skip(DATA_LENGTH);
        chain.writable.writeObj(u8, 0);
        queue.addUsed(chain, length + 1);
      }
    },
  };
}
