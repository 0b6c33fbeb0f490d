import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import {
  Backing,
  FileOffset,
  GuestAddress,
  GuestMemoryMmap,
  GuestRegionMmap,
  MmapRegion,
  Permissions,
  u32,
  u8,
  type VolatileSlice,
} from "../../../mod.ts";
import { copyFromMapping, forResidentRuns } from "../../../ffi/memory.ts";
import { type Mapping, mappingAt, mappingsOf } from "../../support/proc_maps.ts";
import { collectUntil, gcTest } from "../../support/garbage.ts";
import { temporaryFile } from "../../support/temporary_file.ts";

const PAGE = 4096;

/** A file whose mappings can be counted. */
function mappable() {
  const file = temporaryFile(PAGE);
  const opened = Deno.openSync(file.path, { read: true, write: true });
  return {
    path: file.path,
    file: new FileOffset(opened),
    options: { backing: Backing.file(opened) },
    mapped: () => mappingsOf(file.path).length,
    [Symbol.dispose]() {
      opened.close();
      file[Symbol.dispose]();
    },
  };
}

/** Collects until what can be collected is: an unreachable mapping shows when. */
async function collectAll(): Promise<void> {
  using control = mappable();
  (() => void new MmapRegion(PAGE, control.options))();
  assert(await collectUntil(() => control.mapped() === 0), "nothing is ever collected");
}

// What each keeps of a mapping, and the proof that it still works. None calls hostAddress().
const KEEPERS: readonly (readonly [string, (mmap: MmapRegion) => () => unknown])[] = [
  ["the region", (mmap) => () => mmap.len],
  ["a slice", (mmap) => {
    const slice = mmap.asVolatileSlice();
    return () => slice.readObj(u8, 0);
  }],
  ["a part of a slice", (mmap) => {
    const slice = mmap.getSlice(8, 8).offset(4);
    return () => slice.write(Uint8Array.of(1), 0);
  }],
  ["a reference", (mmap) => {
    const ref = mmap.getRef(u32, 4);
    return () => ref.load();
  }],
  ["an array reference", (mmap) => {
    const array = mmap.getArrayRef(u32, 4, 4);
    return () => array.load(3);
  }],
  ["a raw view", (mmap) => {
    const view = mmap.asVolatileSlice().rawView();
    return () => view[0]!++;
  }],
  ["a read-only view", (mmap) => {
    const view = mmap.asVolatileSlice().readOnlyView();
    return () => view[PAGE - 1];
  }],
  ["a subarray of a raw view", (mmap) => {
    const view = mmap.asVolatileSlice().rawView().subarray(100, 104).subarray(1, 2);
    return () => view.fill(1);
  }],
  ["the buffer of a raw view", (mmap) => {
    const { buffer } = mmap.asVolatileSlice().rawView();
    return () => new Uint8Array(buffer)[0];
  }],
  ["a DataView of a raw view", (mmap) => {
    const data = new DataView(mmap.asVolatileSlice().rawView().buffer, 16, 8);
    return () => data.setUint8(7, 1);
  }],
  ["a Uint32Array of a raw view", (mmap) => {
    const words = new Uint32Array(mmap.asVolatileSlice().rawView().buffer, 16, 8);
    return () => Atomics.add(words, 0, 1);
  }],
  ["a region of a guest", (mmap) => {
    const region = new GuestRegionMmap(mmap, GuestAddress(0));
    return () => region.asVolatileSlice().readObj(u8, 0);
  }],
  ["a memory", (mmap) => {
    const memory = GuestMemoryMmap.fromRegions([new GuestRegionMmap(mmap, GuestAddress(0))]);
    return () => memory.readObj(u8, GuestAddress(0));
  }],
  ["an unfinished iteration over slices", (mmap) => {
    const memory = GuestMemoryMmap.fromRegions([new GuestRegionMmap(mmap, GuestAddress(0))]);
    const slices = memory.getSlices(GuestAddress(0), 8);
    return () => slices.next();
  }],
];

for (const [name, keep] of KEEPERS) {
  gcTest(`a mapping of which ${name} is kept stays mapped, and is given back after`, async () => {
    using file = mappable();
    const kept = (() => [keep(new MmapRegion(PAGE, file.options))])();
    await collectAll();
    assertEquals(file.mapped(), 1);
    kept.pop()!();
    assert(await collectUntil(() => file.mapped() === 0));
  });
}

gcTest("a view over two mappings keeps both, and they are given back after", async () => {
  using file = mappable();
  const kept = (() => {
    const memory = GuestMemoryMmap.fromRangesWithFiles([
      [GuestAddress(0), PAGE, file.file],
      [GuestAddress(PAGE), PAGE, file.file],
    ]);
    const views: Uint8Array[] = [];
    const keeping = {
      readVolatile: (slice: VolatileSlice) => views.push(slice.rawView()),
      readVectoredVolatile: () => 0,
    };
    memory.readVolatileFrom(GuestAddress(PAGE - 4), keeping, 8);
    return views;
  })();
  await collectAll();
  assertEquals([kept[0]!.length, file.mapped()], [8, 2]);
  kept.pop()!.fill(1);
  assert(await collectUntil(() => file.mapped() === 0));
});

gcTest(
  "a region that was removed and forgotten is given back, though its neighbour stays",
  async () => {
    using file = mappable();
    using rest = (() => {
      using memory = GuestMemoryMmap.fromRangesWithFiles([
        [GuestAddress(0), PAGE],
        [GuestAddress(PAGE), PAGE, file.file],
      ]);
      memory.readObj(u32, GuestAddress(PAGE - 2));
      return memory.removeRegion(GuestAddress(PAGE), PAGE)[0];
    })();
    assert(await collectUntil(() => file.mapped() === 0));
    assertEquals(rest.numRegions, 1);
  },
);

gcTest("mappings whose boundary view was closed and collected leave no addresses", async () => {
  const memory = GuestMemoryMmap.fromRanges([
    [GuestAddress(0), PAGE],
    [GuestAddress(PAGE), PAGE],
  ]);
  const addresses = memory.describe().map(({ hostAddress }) => BigInt(hostAddress));
  let isCollected = false;
  const collected = new FinalizationRegistry(() => isCollected = true);
  (() => {
    const [first, second] = [...memory].map(({ hostSlice }) => hostSlice!.memory);
    collected.register(first!.boundaryView(second!)!, undefined);
  })();
  memory.findRegion(GuestAddress(0))!.mmap.protect(Permissions.Read);
  assert(await collectUntil(() => isCollected));
  await collectAll();
  memory.close();
  assertEquals(addresses.map(mappingAt), [undefined, undefined]);
});

gcTest("a forgotten memory of many regions is given back whole", async () => {
  using file = mappable();
  (() => {
    GuestMemoryMmap.fromRangesWithFiles(
      Array.from({ length: 50 }, (_, i) => [GuestAddress(i * PAGE), PAGE, file.file]),
    );
  })();
  assert(await collectUntil(() => file.mapped() === 0));
});

gcTest("a memory that shares regions with a forgotten one keeps them", async () => {
  using file = mappable();
  const region = (n: number) =>
    GuestRegionMmap.fromRange(GuestAddress(n * PAGE), PAGE, file.options);
  const small = (() => {
    const large = GuestMemoryMmap.fromRegions([region(0), region(1), region(2)]);
    return large.removeRegion(GuestAddress(PAGE), PAGE)[0];
  })();
  assert(await collectUntil(() => file.mapped() === 2));
  await collectAll();
  assertEquals([file.mapped(), small.numRegions], [2, 2]);
  assertEquals(small.readObj(u8, GuestAddress(2 * PAGE)), 0);
});

gcTest("a forgotten mapping whose host address was asked for stays mapped", async () => {
  using file = mappable();
  const region = (() => {
    const ask = new MmapRegion(PAGE, file.options);
    const memory = GuestMemoryMmap.fromRangesWithFiles([
      [GuestAddress(0), PAGE, file.file],
    ]);
    const asked = [ask.hostAddress(), memory.getHostAddress(GuestAddress(8))];
    // Views of the memory from here on are others.
    ask.protect(Permissions.Read);
    return asked;
  })();
  await collectAll();
  await collectAll();
  assertEquals([region.length, file.mapped()], [2, 2]);
});

gcTest(
  "forgotten mappings stay where their boundary view's host address was asked for",
  async () => {
    using file = mappable();
    const asked = (() => {
      const memory = GuestMemoryMmap.fromRangesWithFiles([
        [GuestAddress(0), PAGE, file.file],
        [GuestAddress(PAGE), PAGE, file.file],
      ]);
      const [first, second] = [...memory].map(({ hostSlice }) => hostSlice!.memory);
      return first!.boundaryView(second!)!.hostAddress() !== undefined;
    })();
    await collectAll();
    await collectAll();
    assertEquals([asked, file.mapped()], [true, 2]);
  },
);

gcTest("a mapping whose host address was asked for is unmapped by close()", async () => {
  using file = mappable();
  (() => {
    const region = new MmapRegion(PAGE, file.options);
    region.hostAddress();
    region.close();
  })();
  assertEquals(file.mapped(), 0);
  await collectAll();
});

gcTest(
  "attach() finds the memory of this thread, also after an earlier one was collected",
  async () => {
    const handles = (() => {
      const first = new MmapRegion(PAGE);
      const shared = [first.share(), first.share()] as const;
      // Attaching makes another memory from here on.
      (first.asVolatileSlice().rawView().buffer as ArrayBuffer).transfer();
      return shared;
    })();
    using second = MmapRegion.attach(handles[0]);
    await collectAll();
    using third = MmapRegion.attach(handles[1]);
    assertStrictEquals(third.asVolatileSlice().memory, second.asVolatileSlice().memory);
  },
);

gcTest("a closed mapping is not given back again when it is collected", async () => {
  using file = mappable();
  const map = () => new MmapRegion(PAGE, file.options);
  (() => {
    for (let i = 0; i < 20; i++) map().close();
  })();
  // These are mostly where the closed ones were.
  const regions = Array.from({ length: 20 }, map);
  await collectAll();
  await collectAll();
  assertEquals(file.mapped(), 20);
  for (const region of regions) {
    region.asVolatileSlice().writeObj(u8, 7, 0);
    region.close();
  }
});

gcTest("a forgotten region of a foreign pointer gives nothing back", async () => {
  using file = mappable();
  using region = new MmapRegion(PAGE, file.options);
  (() => void new MmapRegion(PAGE, { backing: Backing.foreign(region.hostAddress()) }))();
  await collectAll();
  await collectAll();
  assertEquals(file.mapped(), 1);
  assertEquals(region.asVolatileSlice().readObj(u8, 0), 0);
});

gcTest("2,000 forgotten mappings do not leak", async () => {
  using file = mappable();
  (() => {
    for (let i = 0; i < 2000; i++) {
      new MmapRegion(PAGE, file.options).asVolatileSlice().writeObj(u8, 7, 0);
    }
  })();
  await collectUntil(() => file.mapped() === 0);
  assertEquals(file.mapped(), 0);
});

gcTest(
  "a forgotten mapping leaves pages at its addresses that read zero and take no memory",
  async () => {
    using file = mappable();
    (() => new MmapRegion(PAGE, file.options).asVolatileSlice().writeObj(u8, 7, 0))();
    const [{ start, end }] = mappingsOf(file.path) as [Mapping];
    assert(await collectUntil(() => file.mapped() === 0));
    const { permissions, path } = mappingAt(BigInt(start))!;
    assertEquals([permissions, path], ["rw-p", ""]);
    let resident = 0;
    forResidentRuns(start, end - start, (_, length) => resident += length);
    const bytes = new Uint8Array(1);
    assert(copyFromMapping(bytes, start, 1));
    assertEquals([resident, bytes[0]], [0, 0]);
  },
);

gcTest("forgotten mappings give their descriptors back", async () => {
  const name = "given-back";
  const open = () =>
    [...Deno.readDirSync("/proc/self/fd")].filter(({ name: fd }) => pathOf(fd)?.includes(name))
      .length;
  (() => {
    for (let i = 0; i < 20; i++) new MmapRegion(PAGE, { backing: Backing.memfd({ name }) });
  })();
  assertEquals(open(), 20);
  assert(await collectUntil(() => open() === 0));
});

// The descriptor by which the folder is read is closed by now.
function pathOf(fd: string): string | undefined {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}

gcTest(
  "a view of the buffer that was transferred keeps forgotten memory, content and all",
  async () => {
    using file = mappable();
    const smuggled = (() => {
      const { buffer } = new MmapRegion(PAGE, file.options).asVolatileSlice().rawView().fill(7);
      return new Uint8Array(structuredClone(buffer, { transfer: [buffer as ArrayBuffer] }));
    })();
    await collectAll();
    await collectAll();
    assertEquals([file.mapped(), smuggled[0], smuggled[PAGE - 1]], [1, 7, 7]);
    smuggled[0] = 1;
  },
);

gcTest("memory that was protected and forgotten is given back", async () => {
  using file = mappable();
  (() => {
    for (const protection of [0, 1, 2, 3] as Permissions[]) {
      const region = new MmapRegion(PAGE, file.options);
      region.protect(protection);
    }
  })();
  assert(file.mapped() > 0);
  assert(await collectUntil(() => file.mapped() === 0), `${file.mapped()} are left`);
});

gcTest("memory of every protection from the start is given back when it is forgotten", async () => {
  using file = mappable();
  (() => {
    for (const protection of [0, 1, 2, 3] as Permissions[]) {
      new MmapRegion(PAGE, { ...file.options, protection });
    }
  })();
  assert(await collectUntil(() => file.mapped() === 0), `${file.mapped()} are left`);
});
