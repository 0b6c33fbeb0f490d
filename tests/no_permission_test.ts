import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  asSlice,
  Cursor,
  Fd,
  fromSlice,
  GuestMemoryHeap,
  GuestMemoryMmap,
  InvalidGuestAddress,
  LibcUnavailable,
  MemoryClosed,
  MmapRegion,
  PositionedFd,
  struct,
  u16,
  u32,
  u64,
  u8,
  VolatileSlice,
} from "../mod.ts";
import { MockDriver, Virtqueue } from "../src/virtio/mod.ts";
import { gpa } from "./support/values.ts";

// With all permissions there is nothing to refuse.
const ffiAllowed = Deno.permissions.querySync({ name: "ffi" }).state === "granted";

Deno.test("heap memory reads and writes without permission", () => {
  for (const shared of [false, true]) {
    using memory = GuestMemoryHeap.fromRanges([[gpa(0), 16], [gpa(16), 16]], { shared });
    assertEquals(memory.write(Uint8Array.of(1, 2, 3, 4), gpa(14)), 4);
    assertEquals(memory.readObj(u32, gpa(14)), 0x04030201);
    memory.store(u64, 7n, gpa(24));
    assertEquals(memory.load(u64, gpa(24)), 7n);
    assertThrows(() => memory.readObj(u8, gpa(32)), InvalidGuestAddress);
  }
});

Deno.test("a virtqueue works over heap memory without permission", () => {
  using memory = GuestMemoryHeap.fromRanges([[gpa(0), 0x1000]]);
  const driver = new MockDriver(memory, { size: 4, base: gpa(0), length: 0x1000 });
  using queue = new Virtqueue(memory, driver.state);
  const head = driver.add([Uint8Array.of(5)], [1])!;
  const chain = queue.pop()!;
  chain.writable.writeObj(u8, chain.readable.readObj(u8) + 1);
  queue.addUsed(chain, 1);
  assertEquals(driver.takeUsed(), { head, written: Uint8Array.of(6) });
});

Deno.test("heap memory reads and writes structures without permission", () => {
  using memory = GuestMemoryHeap.fromRanges([[gpa(2 ** 32), 0x1000]]);
  const Header = struct({ magic: u32, version: u16, length: u64 });
  const header = { magic: 1, version: 2, length: 3n };
  memory.writeObj(Header, header, gpa(2 ** 32 + 1));
  assertEquals(memory.readObj(Header, gpa(2 ** 32 + 1)), header);
  assertEquals(fromSlice(Header, asSlice(Header, header)), header);
});

Deno.test("heap memory takes streams without permission", () => {
  using memory = GuestMemoryHeap.fromRanges([[gpa(0), 16]]);
  memory.readExactVolatileFrom(gpa(4), new Cursor(Uint8Array.of(1, 2, 3)), 3);
  const sink = new Cursor(new Uint8Array(3));
  memory.writeAllVolatileTo(gpa(4), sink, 3);
  assertEquals(sink.bytes, Uint8Array.of(1, 2, 3));
});

Deno.test("heap memory is inspected and closed without permission", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), 16]]);
  assertStringIncludes(Deno.inspect(memory), "16 B");
  memory.close();
  assertThrows(() => memory.readObj(u8, gpa(0)), MemoryClosed);
  assertEquals(VolatileSlice.from(Uint8Array.of(1, 2)).readObj(u16, 0), 0x0201);
});

Deno.test({
  name: "new MmapRegion() without permission says which flag it takes",
  ignore: ffiAllowed,
  fn() {
    const error = assertThrows(() => new MmapRegion(4096), LibcUnavailable, "--allow-ffi");
    assertEquals(error.name, "LibcUnavailable");
    assert(error.cause instanceof Deno.errors.NotCapable);
    assertThrows(
      () => GuestMemoryMmap.fromRanges([[gpa(0), 4096]]),
      LibcUnavailable,
      "--allow-ffi",
    );
  },
});

Deno.test({
  name: "new Fd() without permission says which flag it takes",
  ignore: ffiAllowed,
  fn() {
    const file = { seekSync: () => 0, statSync: () => ({ dev: 1, ino: 1 }) };
    for (const open of [0, { fd: 0 }, file]) {
      assertThrows(() => new Fd(open), LibcUnavailable, "--allow-ffi");
      assertThrows(() => new PositionedFd(open, 0), LibcUnavailable, "--allow-ffi");
    }
  },
});
