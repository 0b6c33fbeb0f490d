import { assert, assertEquals, assertFalse, assertInstanceOf, assertThrows } from "@std/assert";
import {
  AccessDenied,
  AtomicBitmap,
  GuestMemoryMmap,
  MappingShared,
  MmapRegion,
  Permissions,
  u8,
} from "../../../mod.ts";
import { collectUntil, gcTest } from "../../support/garbage.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { mappable, Peer } from "../../support/peer.ts";
import { mappingAt } from "../../support/proc_maps.ts";
import { until } from "../../support/until.ts";
import { gpa } from "../../support/values.ts";

const PAGE = 4096;

linuxTest("attach() in the thread that shares: a protect() by one is seen by the other", () => {
  using file = mappable();
  using region = file.region();
  using again = MmapRegion.attach(region.share());
  const view = again.asVolatileSlice().rawView();
  region.protect(Permissions.Read);
  assertEquals([again.protection, view.length], [Permissions.Read, 0]);
  assertEquals(again.getRef(u8, 0).load(), 0);
  assertThrows(() => again.getRef(u8, 0).store(1), AccessDenied);
  again.protect(Permissions.ReadWrite);
  region.getRef(u8, 0).store(1);
  assertEquals(again.getRef(u8, 0).load(), 1);
});

linuxTest("protect() takes nothing away while another thread holds the memory", async () => {
  using peer = new Peer();
  using region = new MmapRegion(PAGE);
  const view = region.asVolatileSlice().rawView();
  const handle = region.share();
  assertThrows(() => region.protect(Permissions.Read), MappingShared);
  await peer.ask({ do: "attach one", region: handle });
  assertEquals(assertThrows(() => region.protect(Permissions.No), MappingShared).holders, 1);
  assertEquals([region.protection, view.length], [Permissions.ReadWrite, PAGE]);
  await peer.ask({ do: "write", address: 0, value: 7 });
  assertEquals(view[0], 7);
  await peer.ask({ do: "close" });
  region.protect(Permissions.Read);
  assertEquals([region.protection, region.getRef(u8, 0).load()], [Permissions.Read, 7]);
});

linuxTest("protect() that adds a permission is seen by a thread that calls it too", async () => {
  using peer = new Peer();
  using region = new MmapRegion(PAGE, { protection: Permissions.Read });
  await peer.ask({ do: "attach one", region: region.share() });
  region.protect(Permissions.ReadWrite);
  assertEquals(await peer.ask({ do: "write", address: 0, value: 7 }), "AccessDenied");
  await peer.ask({ do: "protect", protection: Permissions.ReadWrite });
  assertEquals(await peer.ask({ do: "write", address: 0, value: 7 }), undefined);
  assertEquals(region.getRef(u8, 0).load(), 7);
  await peer.ask({ do: "close" });
});

linuxTest("protect() takes away what another thread added and left", async () => {
  using peer = new Peer();
  using file = mappable();
  using region = file.region();
  region.protect(Permissions.Read);
  await peer.ask({ do: "attach one", region: region.share() });
  await peer.ask({ do: "protect", protection: Permissions.ReadWrite });
  await peer.ask({ do: "close" });
  const hostAddress = region.hostAddress();
  assertEquals(mappingAt(hostAddress)?.permissions, "rw-s");
  region.protect(Permissions.Read);
  assertEquals(mappingAt(hostAddress)?.permissions, "r--s");
});

linuxTest("protect() does not wait for a Worker that was terminated", async () => {
  using region = new MmapRegion(PAGE);
  {
    using peer = new Peer();
    await peer.ask({ do: "attach one", region: region.share() });
    assertThrows(() => region.protect(Permissions.Read), MappingShared);
  }
  const protectedNow = await until(() => {
    try {
      region.protect(Permissions.Read);
    } catch (error) {
      assertInstanceOf(error, MappingShared);
      return false;
    }
    return true;
  });
  assert(protectedNow);
});

linuxTest(
  "a Worker that is terminated while it holds memory: it is unmapped once this thread closes it",
  async () => {
    using file = mappable();
    const memory = file.memory();
    {
      using peer = new Peer();
      await peer.ask({ do: "attach", memory: memory.share() });
    }
    memory.writeObj(u8, 1, gpa(0));
    assert(file.isMapped());
    memory.close();
    assert(await until(() => !file.isMapped()));
  },
);

linuxTest("a Worker that is terminated after this thread has closed its memory", async () => {
  using file = mappable();
  {
    using peer = new Peer();
    const memory = file.memory();
    await peer.ask({ do: "attach", memory: memory.share() });
    memory.close();
    await peer.ask({ do: "write", address: 0, value: 1 });
    assert(file.isMapped());
  }
  assert(await until(() => !file.isMapped()));
});

gcTest(
  "memory that the other thread forgets is given back when this one has closed it",
  async () => {
    using file = mappable();
    using peer = new Peer();
    const memory = file.memory();
    await peer.ask({ do: "attach", memory: memory.share() });
    memory.close();
    await peer.ask({ do: "collect" });
    assert(file.isMapped());
    await peer.ask({ do: "forget" });
    for (let round = 0; round < 100 && file.isMapped(); round++) await peer.ask({ do: "collect" });
    assertFalse(file.isMapped());
  },
);

gcTest("memory that this thread forgets stays with the other, and goes with it", async () => {
  using file = mappable();
  using control = mappable();
  using peer = new Peer();
  await (async () => {
    const region = file.region();
    const handle = region.share();
    await peer.ask({ do: "attach one", region: handle });
    void control.region();
  })();
  assert(await collectUntil(() => !control.isMapped()), "nothing is ever collected");
  await collectUntil(() => false);
  assert(file.isMapped());
  await peer.ask({ do: "write", address: 0, value: 7 });
  assertEquals(await peer.ask({ do: "read", address: 0 }), 7);
  await peer.ask({ do: "close" });
  // This thread's hold has ended, so the other was the last.
  assertFalse(file.isMapped());
});

gcTest("memory whose handle was forgotten stays mapped", async () => {
  using file = mappable();
  using control = mappable();
  (() => {
    const region = file.region();
    region.share();
    region.close();
    void control.region();
  })();
  assert(await collectUntil(() => !control.isMapped()), "nothing is ever collected");
  assert(file.isMapped());
});

linuxTest("attach() with a bitmap marks that, and not the one of the thread that shares", () => {
  const bitmap = (length: number) => new AtomicBitmap(length, PAGE);
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), PAGE], [gpa(2 ** 32), PAGE]], { bitmap });
  const logs = new Map<number, AtomicBitmap>();
  using attached = GuestMemoryMmap.attach(memory.share(), (start) => {
    const log = bitmap(PAGE);
    logs.set(start, log);
    return log;
  });
  attached.write(Uint8Array.of(1), gpa(2 ** 32 + 5));
  assertEquals([...logs].map(([start, log]) => [start, log.dirtyAt(0)]), [[0, false], [
    2 ** 32,
    true,
  ]]);
  assertEquals([...memory].map(({ bitmap }) => bitmap.dirtyAt(0)), [false, false]);
  using plain = GuestMemoryMmap.attach(memory.share());
  plain.write(Uint8Array.of(1), gpa(0));
  assertEquals([...memory].map(({ bitmap }) => bitmap.dirtyAt(0)), [true, false]);
});
