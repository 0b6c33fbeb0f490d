import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  AccessDenied,
  AtomicBitmap,
  Backing,
  BitmapGroup,
  type GuestMemoryHandle,
  GuestMemoryMmap,
  GuestRegionMmap,
  InvalidHandle,
  MemoryClosed,
  MmapRegion,
  NoBitmap,
  Permissions,
  u32,
  u64,
  u8,
} from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { mappable, Peer } from "../../support/peer.ts";
import { RecordingBitmap } from "../../support/recording_bitmap.ts";
import { gpa } from "../../support/values.ts";

const PAGE = 4096;

linuxTest("share(): both threads see the same bytes at the same addresses", async () => {
  using peer = new Peer();
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), PAGE], [gpa(2 ** 32), 3 * PAGE]]);
  await peer.ask({ do: "attach", memory: memory.share() });
  memory.writeObj(u8, 7, gpa(2 ** 32 + 5000));
  assertEquals(await peer.ask({ do: "read", address: 2 ** 32 + 5000 }), 7);
  await peer.ask({ do: "write", address: 9, value: 42 });
  assertEquals(memory.readObj(u8, gpa(9)), 42);
  assertEquals(await peer.ask({ do: "read", address: PAGE }), "InvalidGuestAddress");
  await peer.ask({ do: "close" });
});

linuxTest("share(): both threads mark the same bitmap", async () => {
  using peer = new Peer();
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 8 * PAGE]], {
    bitmap: (length) => new AtomicBitmap(length, 2 * PAGE),
  });
  await peer.ask({ do: "attach", memory: memory.share() });
  await peer.ask({ do: "write", address: 3 * PAGE, value: 1 });
  memory.writeObj(u8, 1, gpa(7 * PAGE));
  const { bitmap } = memory.findRegion(gpa(0))!;
  assertInstanceOf(bitmap, AtomicBitmap);
  assertEquals([...bitmap.dirtyRuns()], [[2 * PAGE, 2 * PAGE], [6 * PAGE, 2 * PAGE]]);
  // What one thread takes, the other does not find any more.
  bitmap.reset();
  await peer.ask({ do: "write", address: 0, value: 1 });
  assertEquals([...bitmap.dirtyRuns()], [[0, 2 * PAGE]]);
  await peer.ask({ do: "close" });
});

linuxTest("share(): regions whose bitmaps are slices of one stay so", async () => {
  using peer = new Peer();
  const dirty = new AtomicBitmap(64 * PAGE, PAGE);
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), PAGE], [gpa(32 * PAGE), 4 * PAGE]], {
    bitmap: (_length, start) => dirty.sliceAt(start),
  });
  await peer.ask({ do: "attach", memory: memory.share() });
  await peer.ask({ do: "write", address: 33 * PAGE, value: 1 });
  assertEquals([...dirty.dirtyRuns()], [[33 * PAGE, PAGE]]);
  await peer.ask({ do: "close" });
});

linuxTest("share(): two Workers and the main thread count together", async () => {
  using one = new Peer();
  using two = new Peer();
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), PAGE]]);
  for (const peer of [one, two]) {
    await peer.ask({ do: "attach", memory: memory.share() });
  }
  const times = 200_000;
  const counting = [one, two].map((peer) => peer.ask({ do: "count", address: 64, times }));
  for (let i = 0; i < times; i++) memory.getAtomicRef(u32, gpa(64)).fetchAdd(1);
  await Promise.all(counting);
  assertEquals(memory.load(u32, gpa(64)), 3 * times);
  await one.ask({ do: "close" });
  await two.ask({ do: "close" });
});

linuxTest("share(): the last of three threads to close unmaps", async () => {
  using file = mappable();
  using one = new Peer();
  using two = new Peer();
  const memory = file.memory();
  for (const peer of [one, two]) {
    await peer.ask({ do: "attach", memory: memory.share() });
  }
  await one.ask({ do: "close" });
  memory.close();
  assert(file.isMapped());
  await two.ask({ do: "write", address: 8 * PAGE, value: 3 });
  assertEquals(await two.ask({ do: "read", address: 8 * PAGE }), 3);
  await two.ask({ do: "close" });
  assertFalse(file.isMapped());
});

linuxTest("share(): memory that its first thread closed stays with the other", async () => {
  using file = mappable();
  using peer = new Peer();
  const memory = file.memory();
  await peer.ask({ do: "attach", memory: memory.share() });
  memory.close();
  assertThrows(() => memory.readObj(u8, gpa(0)), MemoryClosed);
  assert(file.isMapped());
  await peer.ask({ do: "write", address: 0, value: 5 });
  assertEquals(await peer.ask({ do: "read", address: 0 }), 5);
  await peer.ask({ do: "close" });
  assertEquals(await peer.ask({ do: "read", address: 0 }), "MemoryClosed");
  assertFalse(file.isMapped());
});

linuxTest("share(): memory that the other thread closed stays with the first", async () => {
  using file = mappable();
  using peer = new Peer();
  const memory = file.memory();
  await peer.ask({ do: "attach", memory: memory.share() });
  await peer.ask({ do: "close" });
  await peer.ask({ do: "close" });
  assert(file.isMapped());
  memory.writeObj(u64, 1n, gpa(0));
  memory.close();
  assertFalse(file.isMapped());
});

linuxTest("share(): a handle holds the memory until it is attached", async () => {
  using file = mappable();
  const memory = file.memory();
  memory.writeObj(u8, 9, gpa(8 * PAGE));
  const handle = memory.share();
  memory.close();
  assert(file.isMapped());
  using peer = new Peer();
  await peer.ask({ do: "attach", memory: handle });
  assertEquals(await peer.ask({ do: "read", address: 8 * PAGE }), 9);
  await peer.ask({ do: "close" });
  assertFalse(file.isMapped());
});

linuxTest("share(): a handle that nobody wants is let go of by attaching it oneself", () => {
  using file = mappable();
  const memory = file.memory();
  const handle = memory.share();
  memory.close();
  assert(file.isMapped());
  GuestMemoryMmap.attach(handle).close();
  assertFalse(file.isMapped());
});

linuxTest("attach() takes a handle once, in whatever thread", async () => {
  using file = mappable();
  using one = new Peer();
  using two = new Peer();
  const memory = file.memory();
  const handle = memory.share();
  assertEquals(await one.ask({ do: "attach", memory: handle }), undefined);
  assertEquals(await two.ask({ do: "attach", memory: handle }), "MemoryClosed");
  assertThrows(() => GuestMemoryMmap.attach(handle), MemoryClosed);
  // Neither failure took a hold, or gave one back.
  memory.close();
  assertEquals(await one.ask({ do: "read", address: 0 }), 0);
  await one.ask({ do: "close" });
  assertFalse(file.isMapped());
});

linuxTest("attach() in the thread that shares is closed by itself, over the same memory", () => {
  using file = mappable();
  const memory = file.memory();
  const again = GuestMemoryMmap.attach(memory.share());
  memory.writeObj(u8, 1, gpa(0));
  assertEquals(again.readObj(u8, gpa(0)), 1);
  assertStrictEquals(
    again.findRegion(gpa(0))!.hostSlice!.memory,
    memory.findRegion(gpa(0))!
      .hostSlice!.memory,
  );
  memory.close();
  assertThrows(() => memory.readObj(u8, gpa(0)), MemoryClosed);
  again.writeObj(u8, 2, gpa(0));
  assert(file.isMapped());
  again.close();
  assertFalse(file.isMapped());
});

linuxTest("attach() of a memory whose handle was altered in part holds none of it", () => {
  using file = mappable();
  for (const at of [0, 1]) {
    const memory = file.memory();
    const handle = memory.share();
    const altered = handle.map((entry, i) => {
      if (i !== at) return entry;
      const { mapping } = entry.mapping;
      return { ...entry, mapping: { ...entry.mapping, mapping: { ...mapping, seal: "" } } };
    });
    assertThrows(() => GuestMemoryMmap.attach(altered), InvalidHandle);
    memory.close();
    // The part that was altered is still held by the handle as it was.
    assertEquals(file.mapped(), 1);
    assertThrows(() => GuestMemoryMmap.attach(handle), MemoryClosed);
    assertFalse(file.isMapped());
  }
});

linuxTest("attach() of a memory that has no place in the guest holds none of it", () => {
  using file = mappable();
  const places: readonly Record<string, unknown>[] = [
    { startAddr: 2 ** 53 - 1 },
    {
      get startAddr() {
        throw new TypeError("no place");
      },
    },
  ];
  for (const place of places) {
    for (const at of [0, 1]) {
      const memory = file.memory();
      const handle = memory.share().map((entry, i) =>
        i === at
          ? Object.defineProperties({ ...entry }, Object.getOwnPropertyDescriptors(place))
          : entry
      );
      assertThrows(() => GuestMemoryMmap.attach(handle as GuestMemoryHandle));
      memory.close();
      assertFalse(file.isMapped());
    }
  }
});

linuxTest("attached memory can be shared on", async () => {
  using file = mappable();
  using peer = new Peer();
  const first = file.memory();
  const second = GuestMemoryMmap.attach(first.share());
  await peer.ask({ do: "attach", memory: second.share() });
  first.close();
  second.close();
  assertEquals(await peer.ask({ do: "read", address: 0 }), 0);
  await peer.ask({ do: "close" });
  assertFalse(file.isMapped());
});

linuxTest("MmapRegion.share() takes one mapping to another thread", async () => {
  using file = mappable();
  using peer = new Peer();
  const region = file.region();
  const ref = region.getRef(u8, 100);
  ref.store(1);
  await peer.ask({ do: "attach one", region: region.share() });
  assertEquals(await peer.ask({ do: "read", address: 100 }), 1);
  await peer.ask({ do: "write", address: 100, value: 2 });
  assertEquals(ref.load(), 2);
  region.close();
  assertThrows(() => ref.load(), MemoryClosed);
  assertEquals(await peer.ask({ do: "read", address: 100 }), 2);
  await peer.ask({ do: "close" });
  assertFalse(file.isMapped());
});

linuxTest("what is known of a mapping travels with it", async () => {
  using file = mappable();
  using peer = new Peer();
  using memory = file.memory();
  await peer.ask({ do: "attach", memory: memory.share() });
  const described = Array.from(memory, ({ startAddr, len, mmap }) => ({
    startAddr,
    len,
    description: mmap.description,
    flags: mmap.flags,
    protection: Permissions.ReadWrite,
    owned: true,
    hugetlbfs: false,
    tracked: false,
  }));
  assertEquals(described[1]!.description, `file ${file.file.fd} at 0x1000 shared read-write`);
  assertEquals(await peer.ask({ do: "describe" }), described);
  await peer.ask({ do: "close" });
});

linuxTest("memory without a bitmap has none in the other thread", () => {
  using region = new MmapRegion(PAGE);
  using again = MmapRegion.attach(region.share());
  assertEquals([region.bitmap, again.bitmap], [NoBitmap, NoBitmap]);
});

linuxTest("memory that is read-only is so in the other thread", async () => {
  using peer = new Peer();
  using region = GuestRegionMmap.fromRange(gpa(0), PAGE);
  region.asVolatileSlice().writeObj(u8, 1, 0);
  region.mmap.protect(Permissions.Read);
  using memory = GuestMemoryMmap.fromRegions([region]);
  await peer.ask({ do: "attach", memory: memory.share() });
  assertEquals(await peer.ask({ do: "read", address: 0 }), 1);
  assertEquals(await peer.ask({ do: "write", address: 0, value: 2 }), "AccessDenied");
  assertThrows(() => memory.writeObj(u8, 2, gpa(0)), AccessDenied);
  await peer.ask({ do: "close" });
});

linuxTest("memory of a foreign pointer is never unmapped by whoever shares it", async () => {
  using file = mappable();
  using peer = new Peer();
  const owner = file.region();
  const foreign = new MmapRegion(PAGE, { backing: Backing.foreign(owner.hostAddress()) });
  await peer.ask({ do: "attach one", region: foreign.share() });
  foreign.close();
  assertEquals(await peer.ask({ do: "read", address: 0 }), 0);
  await peer.ask({ do: "close" });
  assert(file.isMapped());
  assertEquals(owner.getRef(u8, 0).load(), 0);
  owner.close();
  assertFalse(file.isMapped());
});

linuxTest("share() refuses a bitmap that cannot go to another thread, and holds nothing", () => {
  using file = mappable();
  const atomic = new AtomicBitmap(PAGE);
  for (const bitmap of [new RecordingBitmap(), new BitmapGroup([atomic])]) {
    const region = new MmapRegion(PAGE, { backing: Backing.file(file.file), bitmap: () => bitmap });
    assertThrows(() => region.share(), TypeError, "Cannot share memory");
    region.close();
    assertFalse(file.isMapped());
  }
});

linuxTest("share() of a memory that cannot be shared whole holds none of it", () => {
  using file = mappable();
  const shareable = GuestRegionMmap.fromRange(gpa(0), PAGE, { backing: Backing.file(file.file) });
  const other = GuestRegionMmap.fromRange(gpa(PAGE), PAGE, { bitmap: () => new RecordingBitmap() });
  const memory = GuestMemoryMmap.fromRegions([shareable, other]);
  assertThrows(() => memory.share(), TypeError, "Cannot share memory");
  memory.close();
  assertFalse(file.isMapped());
});

linuxTest("share() of closed memory throws", () => {
  using file = mappable();
  const region = file.region();
  region.close();
  assertThrows(() => region.share(), MemoryClosed);
  const memory = file.memory();
  memory.close();
  assertThrows(() => memory.share(), MemoryClosed);
  assertFalse(file.isMapped());
});
