/**
 * What memory on the heap does in every runtime.
 *
 * @module
 */
import {
  AtomicBitmap,
  Cursor,
  Fd,
  GuestAddress,
  guestAddress,
  GuestMemoryAtomic,
  GuestMemoryHeap,
  GuestMemoryMmap,
  GuestRegionHeap,
  InvalidGuestAddress,
  LibcUnavailable,
  MemoryClosed,
  PartialBuffer,
  struct,
  takeDirty,
  u16,
  u32,
  u64,
} from "@vmm/guest-memory";
import { MockDriver, Virtqueue } from "@vmm/guest-memory/virtio";
import { type Case, same, throwing } from "./case.ts";

const at = GuestAddress;

/** The cases. */
export const heapCases: readonly Case[] = [
  {
    name: "an access stops at a hole and returns the count",
    run() {
      using memory = GuestMemoryHeap.fromRanges([[at(0), 100], [at(200), 100]]);
      same(memory.write(new Uint8Array(50).fill(7), at(80)), 20);
      const bytes = new Uint8Array(50);
      same(memory.read(bytes, at(70)), 30);
      same(bytes.filter((byte) => byte === 7).length, 20);
      const { expected, completed } = throwing(
        PartialBuffer,
        () => memory.writeSlice(bytes, at(80)),
      );
      same([expected, completed], [50, 20]);
    },
  },
  {
    name: "an address in no region is InvalidGuestAddress, with the address",
    run() {
      using memory = GuestMemoryHeap.fromRanges([[at(0), 100]]);
      for (const address of [100, 2 ** 32, 2 ** 53 - 1]) {
        const error = throwing(InvalidGuestAddress, () => memory.readObj(u32, at(address)));
        same([error.name, error.address], ["InvalidGuestAddress", address]);
      }
    },
  },
  {
    name: "values of every size are read as they were written, aligned or not",
    run() {
      using memory = GuestMemoryHeap.fromRanges([[at(2 ** 40), 0x1000], [at(2 ** 40 + 0x1000), 8]]);
      const Record = struct({ addr: guestAddress, len: u32, flags: u16, next: u16 });
      const record = { addr: at(0xdead_beef_00), len: 2 ** 32 - 1, flags: 3, next: 0xffff };
      for (const offset of [0, 1, 0xff5, 0xff8, 0xfff]) {
        const address = at(2 ** 40 + offset);
        if (offset <= 0xff8) {
          memory.writeObj(Record, record, address);
          same(memory.readObj(Record, address), record);
        }
        memory.writeObj(u64, 2n ** 64n - 3n, address);
        same(memory.readObj(u64, address), 2n ** 64n - 3n);
      }
    },
  },
  {
    name: "atomics add, compare and exchange",
    run() {
      using memory = GuestMemoryHeap.fromRanges([[at(0), 64]]);
      memory.store(u32, 5, at(8));
      const counter = memory.getAtomicRef(u32, at(8));
      same([counter.fetchAdd(2 ** 32 - 1), counter.compareExchange(4, 9)], [5, 4]);
      same(memory.load(u32, at(8)), 9);
      memory.store(u64, 2n ** 63n, at(16));
      same(memory.load(u64, at(16)), 2n ** 63n);
    },
  },
  {
    name: "dirty pages are runs, and taken once",
    run() {
      using memory = GuestMemoryHeap.fromRanges([[at(0), 0x4000], [at(0x8000), 0x1000]], {
        bitmap: (length) => new AtomicBitmap(length),
      });
      memory.write(new Uint8Array(0x1001), at(0x1000));
      memory.writeObj(u16, 1, at(0x8ffe));
      {
        using dirty = takeDirty(memory);
        same([...dirty], [[0x1000, 0x2000], [0x8000, 0x1000]]);
      }
      using again = takeDirty(memory);
      same(again.bytes, 0);
    },
  },
  {
    name: "closing ends every access",
    run() {
      const memory = GuestMemoryHeap.fromRanges([[at(0), 100]]);
      const slice = memory.getSlice(at(10), 10);
      memory.close();
      for (const use of [() => slice.readObj(u32, 0), () => memory.readObj(u32, at(0))]) {
        throwing(MemoryClosed, use);
      }
    },
  },
  {
    name: "streams fill memory exactly",
    run() {
      using memory = GuestMemoryHeap.fromRanges([[at(0), 100], [at(100), 100]]);
      memory.readExactVolatileFrom(
        at(95),
        new Cursor(Uint8Array.from({ length: 9 }, (_, i) => i)),
        9,
      );
      const bytes = new Uint8Array(9);
      memory.writeAllVolatileTo(at(95), new Cursor(bytes), 9);
      same(bytes, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    },
  },
  {
    name: "a device answers the requests of a virtqueue",
    run() {
      using memory = GuestMemoryHeap.fromRanges([[at(0), 0x2000]]);
      const driver = new MockDriver(memory, { size: 8, base: at(0), length: 0x2000 });
      using queue = new Virtqueue(memory, driver.state);
      for (let i = 0; i < 100; i++) {
        driver.add([Uint8Array.of(i, 0)], [2]);
        const chain = queue.pop()!;
        chain.writable.writeObj(u16, chain.readable.readObj(u16) * 3);
        queue.addUsed(chain, 2);
        same(new DataView(driver.takeUsed()!.written.buffer).getUint16(0, true), i * 3);
      }
    },
  },
  {
    name: "a map is replaced under a lock, and its guards keep theirs",
    async run() {
      using space = new GuestMemoryAtomic(GuestMemoryHeap.fromRanges([[at(0), 100]]));
      using before = space.memory();
      {
        using exclusive = await space.lock();
        const region = new GuestRegionHeap(at(100), 100);
        exclusive.replace(exclusive.memory.insertRegion(region));
      }
      using after = space.memory();
      same([before.memory.numRegions, after.memory.numRegions], [1, 2]);
    },
  },
  {
    name:
      "memory is shared where there is a SharedArrayBuffer, and a TypeError where there is none",
    run() {
      const make = () => GuestMemoryHeap.fromRanges([[at(0), 64]], { shared: true });
      if (typeof SharedArrayBuffer === "undefined") {
        throwing(TypeError, make);
        return;
      }
      using memory = make();
      const [region] = memory;
      memory.store(u32, 7, at(4));
      same(new Uint32Array(region!.buffer)[1], 7);
      same(region!.buffer instanceof SharedArrayBuffer, true);
    },
  },
];

/** What a runtime without FFI answers. */
export const withoutFfiCases: readonly Case[] = [
  {
    name: "mapping memory, or a file as a stream, is LibcUnavailable, which names the heap",
    run() {
      const calls = [() => GuestMemoryMmap.fromRanges([[at(0), 2 ** 20]]), () => new Fd(0)];
      for (const call of calls) {
        const { message } = throwing(LibcUnavailable, call);
        same(message.includes("see GuestMemoryHeap"), true);
      }
    },
  },
];
