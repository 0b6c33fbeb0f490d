import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import {
  type Bitmap,
  type ByteSink,
  type ByteSource,
  CallbackOutOfRange,
  Cursor,
  type GuestAddress,
  GuestAddressOverflow,
  GuestMemory,
  GuestMemoryError,
  GuestMemoryRegion,
  GuestRegionCollection,
  GuestRegionHeap,
  InvalidBackendAddress,
  InvalidGuestRegion,
  type MemoryRegionAddress,
  NoBitmap,
  PartialBuffer,
  stopOnError,
  u32,
  u8,
  VolatileSlice,
} from "../../mod.ts";
import { gpa } from "../support/values.ts";

interface Lie {
  startAddr?: number;
  len?: number;
  lastAddr?: number;
  getSlice?: (offset: number, count: number) => VolatileSlice;
  result?: number;
}

// 16 bytes at 0x1000 over 64 bytes of host memory, save for what the lie says.
class LyingRegion extends GuestMemoryRegion {
  readonly host: Uint8Array = new Uint8Array(64);
  readonly bitmap: Bitmap = NoBitmap;
  readonly #slice = VolatileSlice.from(this.host);
  readonly #lie: Lie;

  constructor(lie: Lie) {
    super();
    this.#lie = lie;
  }

  get startAddr(): GuestAddress {
    return (this.#lie.startAddr ?? 0x1000) as GuestAddress;
  }

  get len(): number {
    return this.#lie.len ?? 16;
  }

  override get lastAddr(): GuestAddress {
    return (this.#lie.lastAddr ?? super.lastAddr) as GuestAddress;
  }

  override getSlice(offset: MemoryRegionAddress, count: number): VolatileSlice {
    return this.#lie.getSlice?.(offset, count) ?? this.#slice.getSlice(offset, count);
  }

  override read(buf: Uint8Array, addr: MemoryRegionAddress): number {
    return this.#lie.result ?? super.read(buf, addr);
  }

  override write(buf: Uint8Array, addr: MemoryRegionAddress): number {
    return this.#lie.result ?? super.write(buf, addr);
  }

  override readVolatileFrom(addr: MemoryRegionAddress, src: ByteSource, count: number): number {
    return this.#lie.result ?? super.readVolatileFrom(addr, src, count);
  }

  override writeVolatileTo(addr: MemoryRegionAddress, dst: ByteSink, count: number): number {
    return this.#lie.result ?? super.writeVolatileTo(addr, dst, count);
  }
}

// Finds the same region whatever the address.
class LyingMemory extends GuestMemory {
  readonly #region: GuestMemoryRegion;

  constructor(region: GuestMemoryRegion) {
    super();
    this.#region = region;
  }

  override findRegion(): GuestMemoryRegion {
    return this.#region;
  }

  override [Symbol.iterator](): Iterator<GuestMemoryRegion> {
    return [this.#region].values();
  }
}

function collection(lie: Lie): GuestRegionCollection {
  return GuestRegionCollection.fromRegions<GuestMemoryRegion>([
    new LyingRegion(lie),
    new GuestRegionHeap(gpa(0x1010), 16),
  ]);
}

const stream = () => new Cursor(new Uint8Array(64));

type Access = (memory: GuestMemory, addr: GuestAddress) => unknown;

const SHORT: Record<string, Access> = {
  read: (memory, addr) => memory.read(new Uint8Array(24), addr),
  write: (memory, addr) => memory.write(new Uint8Array(24), addr),
  readVolatileFrom: (memory, addr) => memory.readVolatileFrom(addr, stream(), 24),
  writeVolatileTo: (memory, addr) => memory.writeVolatileTo(addr, stream(), 24),
};

const EXACT: Record<string, Access> = {
  readSlice: (memory, addr) => memory.readSlice(new Uint8Array(24), addr),
  writeSlice: (memory, addr) => memory.writeSlice(new Uint8Array(24), addr),
  readObj: (memory, addr) => memory.readObj(u32, addr),
  writeObj: (memory, addr) => memory.writeObj(u32, 0, addr),
  load: (memory, addr) => memory.load(u32, addr),
  store: (memory, addr) => memory.store(u32, 0, addr),
  readExactVolatileFrom: (memory, addr) => memory.readExactVolatileFrom(addr, stream(), 24),
  writeAllVolatileTo: (memory, addr) => memory.writeAllVolatileTo(addr, stream(), 24),
  getSlice: (memory, addr) => memory.getSlice(addr, 8),
  getSlices: (memory, addr) => [...memory.getSlices(addr, 8)],
};

for (const len of [0, -1, NaN, Infinity, 2 ** 53, 2 ** 53 - 0xfff, 0.5, 1.5]) {
  Deno.test(`GuestRegionCollection refuses a region of ${len} bytes at 0x1000`, () => {
    assertThrows(
      () => GuestRegionCollection.fromRegions([new LyingRegion({ len })]),
      InvalidGuestRegion,
    );
  });
}

for (const startAddr of [-1, -8, NaN, 0.5, Infinity, 2 ** 53]) {
  Deno.test(`GuestRegionCollection refuses a region at ${startAddr}`, () => {
    assertThrows(
      () => GuestRegionCollection.fromRegions([new LyingRegion({ startAddr })]),
      InvalidGuestRegion,
    );
  });
}

for (const result of [25, 2 ** 53, -1, NaN, Infinity, 0.5, 1.5]) {
  for (const [name, access] of Object.entries(SHORT)) {
    Deno.test(`GuestMemory.${name}() refuses a region that reports ${result} of 24 bytes`, () => {
      assertThrows(() => access(collection({ result }), gpa(0x1000)), CallbackOutOfRange);
    });
  }
}

for (const result of [17, 24]) {
  for (const [name, access] of Object.entries(SHORT)) {
    Deno.test(`GuestMemory.${name}() refuses a region of 16 bytes that reports ${result}`, () => {
      assertThrows(() => access(collection({ result }), gpa(0x1000)), CallbackOutOfRange);
    });
  }
}

for (const [name, access] of Object.entries(SHORT)) {
  Deno.test(`GuestMemory.${name}() ends where a region reports 0`, () => {
    assertEquals(access(collection({ result: 0 }), gpa(0x1000)), 0);
  });
}

Deno.test("GuestMemory.readSlice() reports a region that reads nothing", () => {
  const error = assertThrows(
    () => collection({ result: 0 }).readSlice(new Uint8Array(24), gpa(0x1000)),
    PartialBuffer,
  );
  assertEquals([error.expected, error.completed], [24, 0]);
});

Deno.test("a region longer than its memory is an error behind its end, whatever the access", () => {
  const memory = GuestRegionCollection.fromRegions([new LyingRegion({ len: 128 })]);
  for (const [name, access] of Object.entries({ ...SHORT, ...EXACT })) {
    assertThrows(() => access(memory, gpa(0x1040)), GuestMemoryError, undefined, name);
  }
});

Deno.test("a region longer than its memory gives no more than it has", () => {
  const region = new LyingRegion({ len: 128 });
  const memory = GuestRegionCollection.fromRegions([region]);
  assertThrows(() => memory.read(new Uint8Array(100), gpa(0x1000)), GuestMemoryError);
  assertThrows(() => memory.getSlice(gpa(0x1000), 100), GuestMemoryError);
  assertThrows(() => [...memory.getSlices(gpa(0x1000), 100)], GuestMemoryError);
  assertThrows(() => [...stopOnError(memory.getSlices(gpa(0x1000), 100))], GuestMemoryError);
});

for (const given of [0, 4, 15, 17, 32]) {
  const lie: Lie = { getSlice: () => VolatileSlice.from(new Uint8Array(given)) };

  Deno.test(`GuestMemory refuses a slice of ${given} bytes where 16 were asked`, () => {
    const memory = collection(lie);
    assertThrows(() => memory.getSlices(gpa(0x1000), 16).next(), InvalidBackendAddress);
    assertThrows(() => memory.getSlice(gpa(0x1000), 16), InvalidBackendAddress);
  });
}

for (const given of [0, 4, 15]) {
  const lie: Lie = { getSlice: () => VolatileSlice.from(new Uint8Array(given)) };

  for (const [name, access] of Object.entries(SHORT)) {
    Deno.test(`GuestMemory.${name}() over a region with ${given} of 16 bytes is no more than that`, () => {
      let done: unknown = 0;
      try {
        done = access(collection(lie), gpa(0x1000));
      } catch (error) {
        assert(error instanceof GuestMemoryError, `${error}`);
      }
      assert(typeof done === "number" && done <= given, `${done}`);
    });
  }
}

Deno.test("GuestMemory does not leave a region whose slice is longer than the region", () => {
  const region: LyingRegion = new LyingRegion({ getSlice: () => VolatileSlice.from(region.host) });
  const next = new GuestRegionHeap(gpa(0x1010), 16);
  const memory = GuestRegionCollection.fromRegions<GuestMemoryRegion>([region, next]);
  const attempts = [
    () => memory.write(new Uint8Array(24).fill(7), gpa(0x1000)),
    () => memory.writeSlice(new Uint8Array(24).fill(7), gpa(0x1000)),
    () => memory.writeObj(u32, 0x07070707, gpa(0x100e)),
    () => memory.store(u32, 0x07070707, gpa(0x100c)),
    () => memory.readVolatileFrom(gpa(0x1008), new Cursor(new Uint8Array(24).fill(7)), 24),
  ];
  for (const attempt of attempts) {
    try {
      attempt();
    } catch (error) {
      assert(error instanceof GuestMemoryError, `${error}`);
    }
    assertEquals(region.host.subarray(16), new Uint8Array(48), `${attempt}`);
  }
});

Deno.test("what a region's getSlice throws comes out as it is", () => {
  const cause = new Error("the device is gone");
  const memory = collection({
    getSlice: () => {
      throw cause;
    },
  });
  for (const [name, access] of Object.entries({ ...SHORT, ...EXACT })) {
    const error = assertThrows(() => access(memory, gpa(0x1000)), Error, undefined, name);
    assertEquals(error, cause, name);
  }
});

const ELSEWHERE = [0, 0xfff, 0x1010, 0x1011, 2 ** 32 + 0x1000, 2 ** 53 - 1];

for (const [name, access] of Object.entries(EXACT)) {
  Deno.test(`GuestMemory.${name}() refuses a region that does not contain the address`, () => {
    const region = new GuestRegionHeap(gpa(0x1000), 16);
    const memory = new LyingMemory(region);
    for (const at of ELSEWHERE) {
      assertThrows(() => access(memory, gpa(at)), GuestMemoryError, undefined, `at ${at}`);
    }
    assertEquals(new Uint8Array(region.buffer), new Uint8Array(16));
  });
}

for (const [name, access] of Object.entries(SHORT)) {
  Deno.test(`GuestMemory.${name}() does nothing in a region that does not contain the address`, () => {
    const memory = new LyingMemory(new GuestRegionHeap(gpa(0x1000), 16));
    for (const at of ELSEWHERE) {
      let done: unknown = 0;
      try {
        done = access(memory, gpa(at));
      } catch (error) {
        assert(error instanceof GuestMemoryError, `${error}`);
      }
      assertEquals(done, 0, `at ${at}`);
    }
  });
}

Deno.test("GuestMemory never reports a range that its region does not contain", () => {
  const memory = new LyingMemory(new GuestRegionHeap(gpa(0x1000), 16));
  for (const at of ELSEWHERE) {
    let held = false;
    try {
      held = memory.checkRange(gpa(at), 4);
    } catch (error) {
      assert(error instanceof GuestMemoryError, `${error}`);
    }
    assertFalse(held, `at ${at}`);
  }
});

Deno.test("GuestMemory.toRegionAddr() gives no offset outside the region", () => {
  const memory = new LyingMemory(new GuestRegionHeap(gpa(0x1000), 16));
  for (const at of ELSEWHERE) {
    let offset: number | undefined;
    try {
      offset = memory.toRegionAddr(gpa(at))?.[1];
    } catch (error) {
      assert(error instanceof GuestMemoryError, `${error}`);
    }
    assertEquals(offset, undefined, `at ${at}`);
  }
});

Deno.test("a region that says it is endless is an error or a short count", () => {
  const memory = new LyingMemory(new LyingRegion({ len: Infinity }));
  for (const [name, access] of Object.entries(SHORT)) {
    let done: unknown = 0;
    try {
      done = access(memory, gpa(0x1030));
    } catch (error) {
      assert(error instanceof GuestMemoryError, `${name}: ${error}`);
    }
    assert(typeof done === "number" && done <= 16, `${name}: ${done}`);
  }
  for (const [name, access] of Object.entries(EXACT)) {
    assertThrows(() => access(memory, gpa(0x1040)), GuestMemoryError, undefined, name);
  }
});

Deno.test("GuestMemory stops at the end of the address space whatever a region says", () => {
  const memory = new LyingMemory(new LyingRegion({ len: Infinity }));
  const addr = gpa(2 ** 53 - 8);
  assertThrows(() => memory.tryAccess(16, addr, () => 12), GuestAddressOverflow);
  let held = false;
  try {
    held = memory.checkRange(addr, 16);
  } catch (error) {
    assert(error instanceof GuestMemoryError, `${error}`);
  }
  assertFalse(held);
});

Deno.test("a region that says it ends elsewhere is refused, or gives no access there", () => {
  const region = new LyingRegion({ lastAddr: 0x10ff });
  for (const at of [0x1010, 0x1050, 0x10ff]) {
    for (const [name, access] of Object.entries(EXACT)) {
      assertThrows(
        () => access(GuestRegionCollection.fromRegions([region]), gpa(at)),
        Error,
        undefined,
        `${name} at ${at}`,
      );
    }
    assertEquals(region.host, new Uint8Array(64));
  }
});

Deno.test("a region that shrinks is an error where it no longer reaches", () => {
  const lie: Lie = { len: 64 };
  const memory = GuestRegionCollection.fromRegions([new LyingRegion(lie)]);
  memory.readObj(u8, gpa(0x1030));
  lie.len = 16;
  assertThrows(() => memory.readObj(u8, gpa(0x1030)), GuestMemoryError);
  assertFalse(memory.checkRange(gpa(0x1000), 17));
});
