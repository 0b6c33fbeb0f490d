import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import {
  InvalidHandle,
  MappingShared,
  MemoryClosed,
  Permissions,
  SystemError,
} from "../../../mod.ts";
import { pageSize, reserveMemory, unmapMemory } from "../../../ffi/memory.ts";
import { Mapping, type MappingHandle, protBits } from "../../../src/backend/mmap/mapping.ts";
import { sealOf } from "../../../src/backend/mmap/seal.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { makeMapping } from "../../support/mappings.ts";
import { mappingAt } from "../../support/proc_maps.ts";
import { open } from "../../support/posix.ts";
import { temporaryFile } from "../../support/temporary_file.ts";
import { until } from "../../support/until.ts";

const { No, Read, Write, ReadWrite } = Permissions;

const isMapped = (address: number) => mappingAt(BigInt(address)) !== undefined;
const openCount = () => [...Deno.readDirSync("/proc/self/fd")].length;

/** A thread that attaches a handle of a mapping, and releases it when it is asked again. */
class Holder implements Disposable {
  readonly #worker: Worker;

  constructor() {
    const mapping = new URL("../../../src/backend/mmap/mapping.ts", import.meta.url).href;
    const code = `
      import { Mapping } from "${mapping}";
      let held;
      onmessage = ({ data }) => {
        try {
          if (data === "release") held.release();
          else held = Mapping.attach(data);
          postMessage("done");
        } catch (error) {
          postMessage(error.name);
        }
      };`;
    const url = `data:text/javascript,${encodeURIComponent(code)}`;
    this.#worker = new Worker(url, { type: "module" });
  }

  async ask(request: MappingHandle | "release"): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#worker.onmessage = ({ data }) => resolve(data);
    this.#worker.postMessage(request);
    return await promise;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

// The first test: later ones leave mappings that this thread looks after.
linuxTest(
  "Mapping.release() looks for dead holders ever less often, until there are none",
  async () => {
    const { waitAsync } = Atomics;
    const delays: unknown[] = [];
    let words: Int32Array | undefined;
    let quick = 9;
    Atomics.waitAsync = ((given: Int32Array, index: number, value: number, delay: number) => {
      words = given;
      delays.push(delay);
      if (quick-- <= 0) return waitAsync(given, index, value, 60_000);
      return { async: true, value: new Promise((resolve) => setTimeout(resolve, 1)) };
    }) as typeof waitAsync;
    try {
      using one = new Holder();
      using two = new Holder();
      const mappings = [makeMapping(), makeMapping()];
      await one.ask(mappings[0]!.share());
      await two.ask(mappings[1]!.share());
      mappings[0]!.release();
      await until(() => delays.length === 10);
      assertEquals(delays, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
      // Another release ends the wait, and begins again.
      mappings[1]!.release();
      assert(await until(() => delays.length === 11));
      assertEquals(delays[10], 20);
      await one.ask("release");
      await two.ask("release");
      quick = Infinity;
      Atomics.notify(words!, 0);
      await until(() => delays.length > 11, 0.1);
      assertEquals(delays.length, 11);
    } finally {
      Atomics.waitAsync = waitAsync;
    }
  },
);

linuxTest("Mapping.release() of the only holder unmaps, once", () => {
  const mapping = makeMapping();
  const { address, length } = mapping.shape;
  assertEquals([isMapped(address), mapping.released, mapping.owned], [true, false, true]);
  mapping.release();
  assertEquals([isMapped(address), mapping.released], [false, true]);
  // Somebody else's by now.
  const other = makeMapping({ length });
  mapping.release();
  assert(isMapped(other.shape.address));
  other.release();
});

linuxTest("Mapping.release() a second time takes nothing from another holder", () => {
  const mapping = makeMapping();
  const { address } = mapping.shape;
  const again = Mapping.attach(mapping.share());
  mapping.release();
  mapping.release();
  assertEquals(isMapped(address), true);
  again.release();
  assertEquals(isMapped(address), false);
});

linuxTest("Mapping.release() unmaps whole pages, and the guards too", () => {
  const page = pageSize();
  const start = reserveMemory(5 * page, page);
  const mapping = makeMapping({ length: page });
  const shape = { ...mapping.shape, address: start + page, length: 2 * page + 1, guard: page };
  Mapping.of(shape, ReadWrite).release();
  assertEquals([0, 1, 2, 3, 4].map((n) => isMapped(start + n * page)), Array(5).fill(false));
  mapping.release();
});

linuxTest("Mapping.release() unmaps nothing that others own", () => {
  const owner = makeMapping();
  const foreign = Mapping.of({ ...owner.shape, kind: "foreign" }, ReadWrite);
  assertEquals(foreign.owned, false);
  foreign.release();
  assertEquals(isMapped(owner.shape.address), true);
  owner.release();
  assertEquals(isMapped(owner.shape.address), false);
});

linuxTest("Mapping.release() closes the descriptor with the last holder", () => {
  using file = temporaryFile(0x2000);
  using opened = open(file.path, "r+");
  const before = openCount();
  const mapping = makeMapping({ fd: opened.fd });
  const again = Mapping.attach(mapping.share());
  assertEquals([openCount(), again.descriptor?.fd], [before + 1, mapping.descriptor!.fd]);
  mapping.release();
  assertEquals([openCount(), isMapped(mapping.shape.address)], [before + 1, true]);
  again.release();
  assertEquals([openCount(), isMapped(mapping.shape.address)], [before, false]);
});

linuxTest("Mapping.keepAddresses() makes the last holder leave pages that read zero", () => {
  using file = temporaryFile(new Uint8Array(0x2000).fill(7));
  using opened = open(file.path, "r+");
  const before = openCount();
  const mapping = makeMapping({ fd: opened.fd });
  const { address, length } = mapping.shape;
  const again = Mapping.attach(mapping.share());
  mapping.keepAddresses();
  mapping.release();
  assertEquals(mappingAt(BigInt(address))?.path, file.path);
  // The other holder knows of it.
  again.release();
  const { path, permissions } = mappingAt(BigInt(address))!;
  assertEquals([path, permissions, openCount()], ["", "rw-p", before]);
  unmapMemory(address, length);
});

linuxTest("Mapping.attach() has the same shape, protection, descriptor and nonce", () => {
  using file = temporaryFile(0x2000);
  using opened = open(file.path, "r+");
  const mapping = makeMapping({ fd: opened.fd, protection: Read });
  const again = Mapping.attach(structuredClone(mapping.share()));
  assertEquals(again.shape, JSON.parse(JSON.stringify(mapping.shape)));
  assertEquals([again.nonce, again.protection], [mapping.nonce, Read]);
  assertEquals(again.descriptor?.identity, mapping.descriptor?.identity);
  assertNotEquals(mapping.nonce, makeAndRelease().nonce);
  mapping.release();
  again.release();
});

function makeAndRelease(): Mapping {
  const mapping = makeMapping();
  mapping.release();
  return mapping;
}

linuxTest("Mapping.attach() takes a handle once, whatever copy of it", () => {
  const mapping = makeMapping();
  const handle = mapping.share();
  const copies = [handle, structuredClone(handle), { ...handle }];
  const attached = Mapping.attach(handle);
  for (const copy of copies) {
    assertThrows(() => Mapping.attach(copy), MemoryClosed, "a handle that was used");
  }
  attached.release();
  assertEquals(isMapped(mapping.shape.address), true);
  mapping.release();
  for (const copy of copies) assertThrows(() => Mapping.attach(copy), MemoryClosed);
});

linuxTest("Mapping.attach() refuses every alteration, and the handle stays good", () => {
  using file = temporaryFile(0x2000);
  using opened = open(file.path, "r+");
  const mapping = makeMapping({ fd: opened.fd });
  const other = makeMapping();
  const handle = mapping.share();
  const otherHandle = other.share();
  const changed = (change: Record<string, unknown>) => {
    const text = JSON.stringify({ ...JSON.parse(handle.text), ...change });
    return { ...handle, text };
  };
  const altered: unknown[] = [
    ...[undefined, null, {}, "text", 7],
    ...[{ address: 4096 }, { length: 2 ** 40 }, { kind: "foreign" }, {}].map((change) => ({
      ...changed(change),
      ...(Object.keys(change).length === 0 ? { seal: "0".repeat(16) } : {}),
    })),
    ...["", handle.seal.toUpperCase() + " ", otherHandle.seal, undefined].map((seal) => ({
      ...handle,
      seal,
    })),
    // Another mapping's text, with its own seal.
    { ...handle, text: otherHandle.text, seal: otherHandle.seal },
    ...[
      undefined,
      null,
      new ArrayBuffer(4),
      new SharedArrayBuffer(0),
      new SharedArrayBuffer(4),
      new SharedArrayBuffer(6),
    ].map((references) => ({ ...handle, references })),
    JSON.parse(JSON.stringify(handle)),
  ];
  for (const bad of altered) {
    assertThrows(() => Mapping.attach(bad as MappingHandle), InvalidHandle);
  }
  for (const [word, value] of [[handle.word + 1, handle.value], [handle.word, 1], [-1, -1]]) {
    const wrong = { ...handle, word: word!, value: value! };
    assertThrows(() => Mapping.attach(wrong), MemoryClosed);
  }
  for (const one of [mapping, other]) one.release();
  assert(isMapped(mapping.shape.address) && isMapped(other.shape.address));
  for (const good of [handle, otherHandle]) Mapping.attach(good).release();
  assert(!isMapped(mapping.shape.address) && !isMapped(other.shape.address));
});

linuxTest("a text that is sealed right is still refused without its control block", () => {
  const mapping = makeMapping();
  const handle = mapping.share();
  const text = JSON.stringify({ ...JSON.parse(handle.text), nonce: "1,2" });
  const forged = { ...handle, text, seal: sealOf(text) };
  assertThrows(() => Mapping.attach(forged), MemoryClosed);
  Mapping.attach(handle).release();
  mapping.release();
});

linuxTest("Mapping.is() knows what it made, and nothing that looks like it", () => {
  const mapping = makeMapping();
  const lookalike = { ...mapping, shape: mapping.shape, protection: ReadWrite };
  assertEquals([mapping, lookalike, Object.create(mapping)].map(Mapping.is), [true, false, false]);
  mapping.release();
});

linuxTest("Mapping.protect() changes what the kernel allows, for every holder", () => {
  const mapping = makeMapping();
  const protect = (protection: Permissions, shown: string) => {
    mapping.protect(protection);
    assertEquals([mappingAt(BigInt(mapping.shape.address))?.permissions, mapping.protection], [
      ...[shown, protection],
    ]);
  };
  for (const [protection, shown] of [[Read, "r--p"], [No, "---p"]] as const) {
    protect(protection, shown);
  }
  const again = Mapping.attach(mapping.share());
  for (const [protection, shown] of [[Read, "r--p"], [ReadWrite, "rw-p"]] as const) {
    protect(protection, shown);
    assertEquals(again.protection, protection);
  }
  // Asked again where it is changed: another thread may have added the permission since.
  assertThrows(() => mapping.protect(Read), MappingShared);
  assertEquals(mapping.protection, ReadWrite);
  mapping.release();
  again.release();
});

linuxTest("Mapping.protect() that the kernel refuses changes nothing", () => {
  using file = temporaryFile(0x2000);
  using opened = open(file.path, "r");
  const mapping = makeMapping({ fd: opened.fd, protection: Read });
  const error = assertThrows(() => mapping.protect(ReadWrite), SystemError);
  assertEquals([error.code, mapping.protection], ["EACCES", Read]);
  mapping.release();
});

linuxTest("Mapping.protect() that the kernel refuses midway leaves all of it as it was", () => {
  const mapping = makeMapping();
  const { address, length } = mapping.shape;
  unmapMemory(address + length / 2, length / 2);
  assertThrows(() => mapping.protect(Read), SystemError, "ENOMEM");
  assertEquals([mappingAt(BigInt(address))?.permissions, mapping.protection], ["rw-p", ReadWrite]);
  mapping.release();
});

linuxTest("Mapping.ensureMayProtect() lets the only holder do all, and others add only", () => {
  const mapping = makeMapping({ protection: Read });
  for (const protection of [No, Read, Write, ReadWrite]) mapping.ensureMayProtect(protection);
  const handle = mapping.share();
  for (const protection of [Read, ReadWrite]) mapping.ensureMayProtect(protection);
  for (const protection of [No, Write]) {
    const error = assertThrows(() => mapping.ensureMayProtect(protection), MappingShared);
    assertEquals(error.holders, 1);
  }
  mapping.share();
  const error = assertThrows(() => mapping.ensureMayProtect(No), MappingShared);
  assertEquals(error.holders, 2);
  Mapping.attach(handle).release();
  assertThrows(() => mapping.ensureMayProtect(No), MappingShared, "by 1 other thread or handle");
  for (const bad of [-1, 4, 0.5, NaN, "1", undefined] as unknown as Permissions[]) {
    assertThrows(() => mapping.ensureMayProtect(bad));
  }
});

linuxTest("Mapping.ensureMayProtect() does not count a Worker that was terminated", async () => {
  const mapping = makeMapping();
  {
    using holder = new Holder();
    assertEquals(await holder.ask(mapping.share()), "done");
    assertThrows(() => mapping.ensureMayProtect(Read), MappingShared);
  }
  const isRefused = () => {
    try {
      mapping.ensureMayProtect(Read);
      return false;
    } catch (error) {
      assert(error instanceof MappingShared);
      return true;
    }
  };
  assert(await until(() => !isRefused()));
  mapping.release();
  assert(!isMapped(mapping.shape.address));
});

linuxTest("Mapping.release() leaves memory to another thread, which unmaps it", async () => {
  using holder = new Holder();
  const mapping = makeMapping();
  assertEquals(await holder.ask(mapping.share()), "done");
  mapping.release();
  assert(isMapped(mapping.shape.address));
  assertEquals(await holder.ask("release"), "done");
  assert(!isMapped(mapping.shape.address));
});

linuxTest(
  "a mapping that only dead threads hold is unmapped by the thread that released it",
  async () => {
    const mapping = makeMapping();
    {
      using holder = new Holder();
      assertEquals(await holder.ask(mapping.share()), "done");
      mapping.release();
      assert(isMapped(mapping.shape.address));
    }
    assert(await until(() => !isMapped(mapping.shape.address)));
  },
);

linuxTest("Mapping.releaseDead() is false while a live thread holds the mapping", async () => {
  using holder = new Holder();
  const mapping = makeMapping();
  assertEquals(await holder.ask(mapping.share()), "done");
  mapping.release();
  assertEquals([mapping.releaseDead(), isMapped(mapping.shape.address)], [false, true]);
  assertEquals(await holder.ask("release"), "done");
  assertEquals([mapping.releaseDead(), isMapped(mapping.shape.address)], [true, false]);
});

linuxTest("Mapping.during() puts a release off until the last call has ended", async () => {
  const mapping = makeMapping();
  const { address } = mapping.shape;
  const [one, two] = [Promise.withResolvers<number>(), Promise.withResolvers<never>()];
  const first = mapping.during(() => one.promise);
  const second = mapping.during(() => two.promise);
  mapping.release();
  assertEquals([mapping.released, isMapped(address)], [true, true]);
  one.resolve(7);
  assertEquals([await first, isMapped(address)], [7, true]);
  two.reject(new Error("failed"));
  assertEquals(await second.catch((error: Error) => error.message), "failed");
  assertEquals(isMapped(address), false);
});

linuxTest("Mapping.during() refuses what was released, and unmaps nothing again", async () => {
  const mapping = makeMapping();
  const { address } = mapping.shape;
  mapping.release();
  await assertRejects(() => mapping.during(() => Promise.resolve()), MemoryClosed);
  assertEquals(isMapped(address), false);
});

linuxTest("Mapping.during() without a release unmaps nothing", async () => {
  const mapping = makeMapping();
  assertEquals(await mapping.during(() => Promise.resolve("done")), "done");
  assert(isMapped(mapping.shape.address));
  mapping.release();
});

Deno.test("protBits() are those of the permissions", () => {
  assertEquals([No, Read, Write, ReadWrite].map(protBits), [0, 1, 2, 3]);
});
