import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  GuestAddress,
  GuestMemoryHeap,
  HostMemory,
  InvalidHandle,
  MappingShared,
  MemoryClosed,
  Permissions,
  SystemError,
  takeDirty,
} from "../../../mod.ts";
import { hasMembarrier } from "../../../ffi/barrier.ts";
import { setTakeBarrier } from "../../../src/guest/dirty_set.ts";
import { MappedMemory, mappingOf } from "../../../src/backend/mmap/mapped_memory.ts";
import { Mapping, type MappingHandle } from "../../../src/backend/mmap/mapping.ts";
import { gcTest } from "../../support/garbage.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { makeMapping, type MakeMappingOptions } from "../../support/mappings.ts";
import { mappingAt } from "../../support/proc_maps.ts";
import { open } from "../../support/posix.ts";
import { temporaryFile } from "../../support/temporary_file.ts";
import { count } from "../../support/values.ts";

const { gc } = globalThis as { gc?: () => void };
const LENGTH = 0x2000;
const { No, Read, Write, ReadWrite } = Permissions;
const ALL = [No, Read, Write, ReadWrite] as const;

const isMapped = (address: number) => mappingAt(BigInt(address)) !== undefined;

function mapped(options?: MakeMappingOptions): MappedMemory {
  return new MappedMemory(makeMapping(options));
}

/** What the memory allows: the length of its arrays, and whether it is read and written. */
function allowed(memory: MappedMemory): unknown[] {
  return [
    memory.openLength,
    memory.u8.length,
    memory.permits("read", 0, LENGTH),
    memory.permits("write", 0, LENGTH),
  ];
}

const ALLOWED = {
  [No]: [0, 0, false, false],
  [Read]: [0, 0, true, false],
  [Write]: [0, 0, false, true],
  [ReadWrite]: [LENGTH, LENGTH, true, true],
};

linuxTest("MappedMemory unmaps what it owns when it is closed, once", () => {
  const memory = mapped();
  const { address, u8 } = memory;
  u8[0] = 7;
  assertEquals([isMapped(address), memory.closed, u8.length], [true, false, LENGTH]);
  memory.close();
  assertEquals([isMapped(address), memory.closed, u8.length], [false, true, 0]);
  assertEquals([memory.length, memory.openLength], [LENGTH, 0]);
  memory.close();
});

linuxTest("MappedMemory unmaps nothing that others own", () => {
  const owner = makeMapping();
  new MappedMemory(Mapping.of({ ...owner.shape, kind: "foreign" }, ReadWrite)).close();
  assertEquals(isMapped(owner.shape.address), true);
  owner.release();
  assertEquals(isMapped(owner.shape.address), false);
});

Deno.test("new MappedMemory() refuses what is no mapping of this library", () => {
  const shape = { address: 4096, length: 4096 };
  for (
    const source of [
      {},
      shape,
      { shape, protection: ReadWrite },
      [],
      new HostMemory(new ArrayBuffer(8)),
    ]
  ) {
    assertThrows(() => new MappedMemory(source as never), TypeError, "Illegal constructor");
  }
});

linuxTest("MappedMemory.share() adds a holder, and the last one unmaps", () => {
  const memory = mapped();
  const { address } = memory;
  const [one, two] = [memory.share(), memory.share()];
  memory.close();
  assertEquals(isMapped(address), true);
  Mapping.attach(one).release();
  assertEquals(isMapped(address), true);
  const other = MappedMemory.attach(two);
  assertEquals([other.address, other.length], [address, LENGTH]);
  other.close();
  assertEquals(isMapped(address), false);
  assertThrows(() => memory.share(), MemoryClosed);
});

linuxTest("MappedMemory.attach() in the thread that shared is the same memory", () => {
  const memory = mapped();
  const again = MappedMemory.attach(memory.share());
  assertStrictEquals(again, memory);
  // It has two users now.
  memory.release();
  assertEquals([memory.closed, isMapped(memory.address)], [false, true]);
  again.release();
  assertEquals([memory.closed, isMapped(memory.address)], [true, false]);
});

linuxTest("MappedMemory.attach() in a thread that has the memory does not watch for others", () => {
  const memory = mapped();
  const handle = memory.share();
  const { waitAsync, notify } = Atomics;
  let calls = 0;
  Object.assign(Atomics, { waitAsync: () => calls++, notify: () => calls++ });
  try {
    MappedMemory.attach(handle);
  } finally {
    Object.assign(Atomics, { waitAsync, notify });
  }
  assertEquals(calls, 0);
  memory.release();
  memory.release();
  assert(!isMapped(memory.address));
});

gcTest("MappedMemory.attach() of collected memory is the same memory from then on", async () => {
  let handles: MappingHandle[] = [];
  let first: MappedMemory | undefined;
  const attachNew = () => {
    const memory = mapped();
    const known = new WeakRef(memory);
    handles = [memory.share(), memory.share()];
    return known;
  };
  for (let round = 0; round < 20 && first === undefined; round++) {
    const known = attachNew();
    await new Promise((resolve) => setTimeout(resolve, 1));
    gc!();
    // Before the callback of the registry: it comes later.
    if (known.deref() === undefined) first = MappedMemory.attach(handles[0]!);
    else handles.forEach((handle) => MappedMemory.attach(handle).close());
  }
  assert(first !== undefined);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assertStrictEquals(MappedMemory.attach(handles[1]!), first);
  first.release();
  first.release();
});

linuxTest("MappedMemory.attach() after the memory was closed is a new one", () => {
  const memory = mapped();
  memory.u8[0] = 7;
  const handle = memory.share();
  memory.close();
  const again = MappedMemory.attach(handle);
  assert(again !== memory);
  assertEquals([again.u8[0], again.protection], [7, ReadWrite]);
  again.close();
  assertEquals(isMapped(again.address), false);
});

Deno.test("MappedMemory.attach() refuses a handle that was used or altered", () => {
  const memory = mapped();
  const handle = memory.share();
  assertThrows(() => MappedMemory.attach({ ...handle, seal: "" }), InvalidHandle);
  MappedMemory.attach(handle);
  assertThrows(() => MappedMemory.attach(handle), MemoryClosed);
  memory.release();
  memory.release();
  assertEquals(memory.closed, true);
});

linuxTest("MappedMemory.release() closes with the last user, retain() adds one", () => {
  const memory = mapped();
  memory.retain();
  memory.release();
  assertEquals([memory.closed, isMapped(memory.address)], [false, true]);
  memory.release();
  assertEquals([memory.closed, isMapped(memory.address)], [true, false]);
  assertThrows(() => memory.retain(), MemoryClosed);
});

Deno.test("MappedMemory copies all of a buffer, or nothing", () => {
  const memory = mapped();
  memory.u8.set(count(200));
  const buf = new Uint8Array(3);
  assertEquals([memory.copyOut(5, buf, 3), [...buf]], [true, [6, 7, 8]]);
  assertEquals([memory.copyIn(LENGTH - 3, buf, 3), memory.u8[LENGTH - 1]], [true, 8]);
  for (
    const [offset, length] of [
      ...[[LENGTH - 2, 3], [-1, 3], [0, 2], [0, 4], [0.5, 3], [NaN, 3], [0, 2 ** 31]] as const,
    ]
  ) {
    assertEquals([memory.copyOut(offset, buf, length), memory.copyIn(offset, buf, length)], [
      ...[false, false],
    ]);
  }
  assertEquals([[...buf], memory.u8[0]], [[6, 7, 8], 1]);
  memory.close();
  assertEquals([memory.copyOut(0, buf, 3), memory.copyIn(0, buf, 3)], [false, false]);
});

for (const protection of [No, Read, Write] as const) {
  Deno.test(`MappedMemory with protection ${protection} copies as it allows, all or nothing`, () => {
    const memory = mapped();
    memory.u8.set(count(200));
    memory.protect(protection);
    const mayRead = protection === Read;
    const mayWrite = protection === Write;
    // Aligned or not, of the sizes of integers and others.
    for (const length of [1, 2, 3, 4, 7, 8, 9, 100]) {
      for (const offset of [0, 1, 8, 12]) {
        const buf = new Uint8Array(length);
        assertEquals(memory.copyOut(offset, buf, length), mayRead);
        const expected = count(200).subarray(offset, offset + length);
        assertEquals(buf, mayRead ? expected : new Uint8Array(length));
        assertEquals(memory.copyIn(offset, expected, length), mayWrite);
      }
    }
    const buf = new Uint8Array(3);
    for (const [offset, length] of [[LENGTH - 2, 3], [-1, 3], [0, 2], [0, 4], [0.5, 3], [NaN, 3]]) {
      assertEquals(memory.copyOut(offset!, buf, length!), false);
      assertEquals(memory.copyIn(offset!, buf.fill(9), length!), false);
    }
    memory.protect(ReadWrite);
    assertEquals(memory.u8.subarray(0, 112), count(112));
    memory.close();
  });
}

linuxTest("MappedMemory with any protection allows exactly that, until it is closed", () => {
  for (const from of ALL) {
    for (const to of ALL) {
      const memory = mapped({ protection: from });
      assertEquals([memory.protection, ...allowed(memory)], [from, ...ALLOWED[from]]);
      memory.protect(to);
      assertEquals([memory.protection, ...allowed(memory)], [to, ...ALLOWED[to]]);
      assertEquals(memory.closed, false);
      memory.close();
      assertEquals(allowed(memory), ALLOWED[No]);
      assertThrows(() => memory.protect(ReadWrite), MemoryClosed);
      assertEquals(allowed(memory), ALLOWED[No]);
    }
  }
});

Deno.test("MappedMemory.permits() knows the ends, whatever may be done", () => {
  for (const protection of [Read, ReadWrite] as const) {
    const memory = mapped({ protection });
    const cases: readonly (readonly [number, number, boolean])[] = [
      [0, LENGTH, true],
      [LENGTH, 0, true],
      [1, LENGTH, false],
      [-1, 1, false],
      [0.5, 1, false],
      [NaN, 1, false],
      [0, NaN, false],
    ];
    for (const [offset, length, expected] of cases) {
      assertEquals(memory.permits("read", offset, length), expected, `${length} from ${offset}`);
    }
    memory.close();
  }
});

Deno.test("MappedMemory.protect() empties the views and the arrays that were there", () => {
  const memory = mapped();
  const { u8, u16, dataView, buffer } = memory;
  const view = u8.subarray(8, 16);
  view[0] = 7;
  memory.protect(Read);
  assertEquals([u8.length, u16.length, view.length, buffer.byteLength], [0, 0, 0, 0]);
  assertThrows(() => dataView.getUint8(0), TypeError);
  assert(memory.u8 !== u8);
  memory.protect(ReadWrite);
  assertEquals([view.length, u8.length, memory.u8.length, memory.u8[8]], [0, 0, LENGTH, 7]);
  memory.close();
});

Deno.test("MappedMemory.protect() to what it is keeps the arrays", () => {
  const memory = mapped();
  const { u8 } = memory;
  memory.protect(ReadWrite);
  assertStrictEquals(memory.u8, u8);
  assertEquals(u8.length, LENGTH);
  memory.close();
});

linuxTest("MappedMemory.protect() that the kernel refuses changes nothing", () => {
  using file = temporaryFile(LENGTH);
  using opened = open(file.path, "r");
  const memory = mapped({ fd: opened.fd, protection: Read });
  for (const wanted of [ReadWrite, Write] as const) {
    const error = assertThrows(() => memory.protect(wanted), SystemError);
    assertEquals([error.call, error.code], ["mprotect", "EACCES"]);
    assertEquals([memory.protection, ...allowed(memory)], [Read, ...ALLOWED[Read]]);
  }
  memory.close();
  assertEquals(isMapped(memory.address), false);
});

Deno.test("MappedMemory.protect() takes nothing away while a handle holds the memory", () => {
  const memory = mapped();
  const handle = memory.share();
  const { u8 } = memory;
  for (const protection of [No, Read, Write]) {
    assertThrows(() => memory.protect(protection), MappingShared);
  }
  assertEquals([memory.protection, u8.length], [ReadWrite, LENGTH]);
  MappedMemory.attach(handle).release();
  memory.protect(Read);
  assertEquals(allowed(memory), ALLOWED[Read]);
  memory.close();
});

Deno.test("MappedMemory.protect() adds a permission while a handle holds the memory", () => {
  const memory = mapped({ protection: Read });
  const handle = memory.share();
  memory.protect(ReadWrite);
  assertEquals(allowed(memory), ALLOWED[ReadWrite]);
  memory.close();
  const again = MappedMemory.attach(handle);
  assertEquals([again.protection, ...allowed(again)], [ReadWrite, ...ALLOWED[ReadWrite]]);
  again.close();
});

Deno.test("MappedMemory.hostAddress() is where it is, until it is closed", () => {
  const memory = mapped();
  assertEquals(memory.hostAddress(), BigInt(memory.address));
  memory.protect(No);
  assertEquals(memory.hostAddress(), BigInt(memory.address));
  memory.close();
  assertThrows(() => memory.hostAddress(), MemoryClosed);
});

Deno.test("mappingOf() is the mapping of open memory", () => {
  const mapping = makeMapping();
  const memory = new MappedMemory(mapping);
  assertStrictEquals(mappingOf(memory), mapping);
  memory.close();
  assertThrows(() => mappingOf(memory), MemoryClosed);
});

linuxTest("MappedMemory whose buffer was transferred is closed, and stays mapped", () => {
  const memory = mapped();
  const { address } = memory;
  const elsewhere = (memory.buffer as ArrayBuffer).transfer();
  assertEquals(memory.closed, true);
  assertThrows(() => memory.close(), TypeError, "its buffer was transferred");
  assertEquals([memory.closed, isMapped(address), elsewhere.byteLength], [true, true, LENGTH]);
  assertEquals(memory.copyOut(0, new Uint8Array(1), 1), false);
  assertEquals(allowed(memory), ALLOWED[No]);
  const open = mapped();
  const moved = (open.buffer as ArrayBuffer).transfer();
  assertEquals([open.permits("read", 0, 1), open.permits("write", 0, 0)], [false, false]);
  assertEquals(moved.byteLength, LENGTH);
});

linuxTest("MappedMemory.attach() after the buffer was transferred is a new one", () => {
  const memory = mapped();
  const handle = memory.share();
  const elsewhere = new Uint8Array((memory.buffer as ArrayBuffer).transfer());
  elsewhere[5] = 7;
  const again = MappedMemory.attach(handle);
  assertEquals([memory.closed, again.closed, again.u8[5]], [true, false, 7]);
  again.close();
  assertEquals(isMapped(memory.address), true);
});

linuxTest("MappedMemory.permits() is false for no bytes too, once it is closed", () => {
  const memory = mapped();
  assertEquals([memory.permits("read", LENGTH, 0), memory.permits("write", 0, 0)], [true, true]);
  memory.close();
  assertEquals([memory.permits("read", 0, 0), memory.permits("write", 0, 0)], [false, false]);
});

linuxTest("MappedMemory.locate() wants whole bytes inside", () => {
  const memory = mapped();
  const { address } = memory;
  const at = (start: number, len: number) => MappedMemory.locate(memory, start, len, "read");
  assertEquals([at(0, LENGTH), at(LENGTH - 1, 1)], [address, address + LENGTH - 1]);
  for (const [start, len] of [[0.5, 1], [NaN, 1], [-1, 1], [1, LENGTH], [0, NaN]] as const) {
    assertEquals(at(start, len), -1);
  }
  memory.close();
});

linuxTest(
  "MappedMemory whose buffer was transferred cannot be protected, and stays as it is",
  () => {
    const memory = mapped();
    const { address } = memory;
    const elsewhere = new Uint8Array((memory.buffer as ArrayBuffer).transfer());
    assertThrows(() => memory.protect(Read));
    assertEquals([mappingAt(BigInt(address))?.permissions, memory.closed], ["rw-p", true]);
    elsewhere[0] = 1;
  },
);

linuxTest("MappedMemory.boundaryView() needs neighbours that may be read and written", () => {
  const whole = makeMapping({ length: 2 * LENGTH });
  const half = (n: number) => {
    const address = whole.shape.address + n * LENGTH;
    return new MappedMemory(
      Mapping.of({ ...whole.shape, kind: "foreign", address, length: LENGTH }, ReadWrite),
    );
  };
  const [first, second] = [half(0), half(1)];
  const view = first.boundaryView(second)!;
  assertEquals([view.length, first.boundaryView(second) === view], [LENGTH, true]);
  assertEquals([second.boundaryView(first), first.boundaryView(first)], [undefined, undefined]);
  assertEquals(first.boundaryView(new HostMemory(new ArrayBuffer(8))), undefined);
  assertThrows(() => (view as MappedMemory).protect(Read), TypeError, "a part of two mappings");
  view.u8[0] = 7;
  assertEquals(first.u8[LENGTH / 2], 7);
  second.protect(Read);
  assertEquals([view.closed, first.boundaryView(second)], [true, undefined]);
  second.protect(ReadWrite);
  const again = first.boundaryView(second)!;
  assertEquals([again.closed, again.u8[0]], [false, 7]);
  first.close();
  assertEquals([again.closed, again.u8.length], [true, 0]);
  second.close();
  whole.release();
});

linuxTest("new MappedMemory() has takeDirty() order the writes of other threads", () => {
  if (!hasMembarrier()) return;
  let asked = 0;
  setTakeBarrier(() => asked++);
  const bitmap = (length: number) => new AtomicBitmap(length);
  using guest = GuestMemoryHeap.fromRanges([[GuestAddress(0), LENGTH]], { bitmap });
  takeDirty(guest);
  const memory = mapped();
  takeDirty(guest);
  memory.close();
  assertEquals(asked, 1);
});
