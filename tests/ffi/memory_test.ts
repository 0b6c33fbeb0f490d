import { assert, assertEquals, assertThrows } from "@std/assert";
import { copyCalls, libc, pageCalls } from "../../ffi/libc.ts";
import {
  adviseMemory,
  bufferAt,
  COPY_LIMIT,
  copyFromMapping,
  forResidentRuns,
  mapMemory,
  pageSize,
  protectMemory,
  replaceMemory,
  reserveMemory,
  syncMemory,
  unmapMemory,
} from "../../ffi/memory.ts";
import { MS_ASYNC } from "../../ffi/platform.ts";
import { SystemError } from "../../mod.ts";
import { NOT_OPEN } from "../support/descriptors.ts";
import { linuxTest } from "../support/linux_test.ts";
import { countMappedBytes } from "../support/mapped_bytes.ts";
import { mapPages } from "../support/mapped_pages.ts";
import { detailsAt, mappingAt } from "../support/proc_maps.ts";
import { openFile } from "../support/posix.ts";
import { count } from "../support/values.ts";

const PAGES = 4;

linuxTest("mapMemory() maps zeroed memory, and unmapMemory() ends it", () => {
  let address;
  {
    using memory = mapPages(PAGES);
    ({ address } = memory);
    assertEquals(mappingAt(BigInt(address))?.permissions, "rw-p");
    assert(memory.bytes.every((byte) => byte === 0));
    assertEquals([memory.bytes.length, address % pageSize()], [PAGES * pageSize(), 0]);
  }
  assertEquals(mappingAt(BigInt(address)), undefined);
});

linuxTest("reserveMemory() takes addresses that nothing may access", () => {
  const address = reserveMemory(PAGES * pageSize(), pageSize());
  const { start, end, permissions } = mappingAt(BigInt(address))!;
  assertEquals([permissions, address % pageSize()], ["---p", 0]);
  assert(start <= address && end >= address + PAGES * pageSize());
  unmapMemory(address, PAGES * pageSize());
  assertEquals(mappingAt(BigInt(address)), undefined);
});

linuxTest("reserveMemory() aligns the address, and leaves nothing else reserved", () => {
  const [length, alignment] = [3 * pageSize(), 2 ** 21];
  countMappedBytes((mapped) => {
    for (let step = 0; step < 16; step++) {
      // Shifts where the kernel would put the next range.
      const shift = reserveMemory((1 + step) * pageSize(), pageSize());
      const before = mapped();
      const address = reserveMemory(length, alignment);
      assertEquals([address % alignment, mapped() - before], [0, length]);
      unmapMemory(address, length);
      unmapMemory(shift, (1 + step) * pageSize());
    }
    assertEquals(mapped(), 0);
  });
});

linuxTest("reserveMemory() takes whole pages, of any number that there is room for", () => {
  for (const length of [1, pageSize() - 1, pageSize() + 1, 2 ** 40]) {
    const pages = Math.ceil(length / pageSize()) * pageSize();
    countMappedBytes((mapped) => {
      const address = reserveMemory(length, 2 ** 21);
      assertEquals(mapped(), pages);
      unmapMemory(address, pages);
    });
  }
});

Deno.test("reserveMemory() throws what the kernel says of no size and too much, without a trace", () => {
  const none = assertThrows(() => reserveMemory(0, pageSize()), SystemError);
  assertEquals([none.call, none.code], ["mmap", "EINVAL"]);
  const huge = assertThrows(() => reserveMemory(2 ** 52, 2 ** 21), SystemError);
  assertEquals([huge.call, huge.code], ["mmap", "ENOMEM"]);
  // Rounded up to pages, it is not below 2^53.
  assertThrows(() => reserveMemory(2 ** 53 - 1, 2 ** 21), SystemError, "ENOMEM");
});

linuxTest("mapMemory() maps at the address, in what was reserved, and touches nothing else", () => {
  const page = pageSize();
  const address = reserveMemory(3 * page, page);
  const { platform: { map } } = libc();
  const flags = map.private | map.anonymous;
  mapMemory({ address: address + page, length: page, prot: 3, flags, fd: -1, offset: 0 });
  const permissions = [0, 1, 2].map((n) => mappingAt(BigInt(address + n * page))?.permissions);
  assertEquals(permissions, ["---p", "rw-p", "---p"]);
  new Uint8Array(bufferAt(address + page, page)).set(count(4));
  unmapMemory(address, 3 * page);
  assertEquals(mappingAt(BigInt(address + page)), undefined);
});

linuxTest("mapMemory() maps a file from an offset", () => {
  const page = pageSize();
  using file = openFile(new Uint8Array(3 * page).fill(7, page, 2 * page));
  const address = reserveMemory(page, page);
  const flags = libc().platform.map.shared;
  mapMemory({ address, length: page, prot: 1, flags, fd: file.fd, offset: page });
  const buf = new Uint8Array(page);
  copyFromMapping(buf, address, page);
  assert(buf.every((byte) => byte === 7));
  const { path, offset, permissions } = mappingAt(BigInt(address))!;
  assertEquals([path, offset, permissions], [file.path, page, "r--s"]);
  unmapMemory(address, page);
});

linuxTest("mapMemory() that fails leaves the range reserved", () => {
  const page = pageSize();
  const address = reserveMemory(page, page);
  const flags = libc().platform.map.shared;
  const request = { address, length: page, prot: 3, flags, fd: NOT_OPEN, offset: 0 };
  const error = assertThrows(() => mapMemory(request), SystemError);
  assertEquals([error.call, error.code], ["mmap", "EBADF"]);
  assertEquals(mappingAt(BigInt(address))?.permissions, "---p");
  unmapMemory(address, page);
});

linuxTest("replaceMemory() puts zeroed private memory in place of a mapping", () => {
  const page = pageSize();
  using file = openFile(new Uint8Array(PAGES * page).fill(7));
  using memory = mapPages(PAGES, { fd: file.fd });
  replaceMemory(memory.address + page, 2 * page);
  const lines = [0, 1, 2, 3].map((n) => mappingAt(BigInt(memory.address + n * page))!);
  assertEquals(lines.map(({ path }) => path), [file.path, "", "", file.path]);
  assertEquals(lines.map(({ permissions }) => permissions), ["rw-s", "rw-p", "rw-p", "rw-s"]);
  assertEquals(runs(memory.address + page, 2 * page), []);
  // Views that were there show the new memory.
  assertEquals([0, 1, 2, 3].map((n) => memory.bytes[n * page]), [7, 0, 0, 7]);
  memory.bytes[page] = 1;
  assertEquals(file.content[page], 7);
});

linuxTest("replaceMemory() and reserveMemory() reserve no memory of the host", () => {
  const length = 2 ** 44;
  const address = reserveMemory(length, pageSize());
  replaceMemory(address, length);
  for (const at of [address, address + length - 1]) {
    assert(detailsAt(BigInt(at)).vmFlags.includes("nr"));
  }
  unmapMemory(address, length);
});

linuxTest("mapMemory() refuses a length or an offset that is no integer in [0, 2^53)", () => {
  const request = { address: 4096, length: 4096, prot: 3, flags: 0x22, fd: -1, offset: 0 };
  for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => mapMemory({ ...request, offset: bad }), RangeError, "offset is");
    assertThrows(() => mapMemory({ ...request, length: bad }), RangeError, "length is");
  }
});

linuxTest("replaceMemory() gives the protection that it is asked for", () => {
  for (const [prot, permissions] of [[0, "---p"], [1, "r--p"], [2, "-w-p"]] as const) {
    using memory = mapPages(1);
    replaceMemory(memory.address, memory.length, prot);
    assertEquals(mappingAt(BigInt(memory.address))?.permissions, permissions);
  }
  using memory = mapPages(1);
  assertThrows(() => replaceMemory(memory.address + 1, 1), SystemError, "mmap");
});

function runs(address: number, length: number): [number, number][] {
  const found: [number, number][] = [];
  forResidentRuns(address, length, (offset, bytes) => found.push([offset, bytes]));
  return found;
}

linuxTest("protectMemory() changes what the kernel allows", () => {
  using memory = mapPages(PAGES);
  for (const [prot, permissions] of [[0, "---p"], [1, "r--p"], [3, "rw-p"]] as const) {
    protectMemory(memory.address, memory.length, prot);
    assertEquals(mappingAt(BigInt(memory.address))?.permissions, permissions);
  }
  const error = assertThrows(() => protectMemory(memory.address + 1, 1, 1), SystemError);
  assertEquals([error.call, error.code], ["mprotect", "EINVAL"]);
  assert(error.message.includes(`0x${(memory.address + 1).toString(16)}`));
});

linuxTest("forResidentRuns() finds what was touched and not discarded", () => {
  const page = pageSize();
  using memory = mapPages(6);
  const { address, length, bytes } = memory;
  assertEquals(runs(address, length), []);
  for (const n of [0, 2, 3, 5]) bytes[n * page] = 1;
  assertEquals(runs(address, length), [[0, page], [2 * page, 2 * page], [5 * page, page]]);
  assertEquals(runs(address, 1), [[0, page]]);
  assertEquals(runs(address + page, page), []);
  assertEquals(runs(address + page, 2 * page), [[page, page]]);
  assertEquals(runs(address + 5 * page, 1), [[0, page]]);
  adviseMemory(address, page, "dontneed");
  assertEquals(runs(address, length), [[2 * page, 2 * page], [5 * page, page]]);
  assertEquals([bytes[0], bytes[2 * page]], [0, 1]);
  assertEquals(runs(address, 0), []);
  assertThrows(() => runs(address + 1, 1), SystemError, "mincore");
});

linuxTest("forResidentRuns() joins runs over 65,536 pages, which take several calls", () => {
  const page = pageSize();
  using memory = mapPages(65_536 + 3);
  const { address, length } = memory;
  adviseMemory(address, length, "nohugepage");
  for (const n of [0, 65_535, 65_536, 65_538]) {
    memory.bytes[n * page] = 1;
  }
  assertEquals(runs(address, length), [
    [0, page],
    [65_535 * page, 2 * page],
    [65_538 * page, page],
  ]);
});

linuxTest(
  "adviseMemory() refuses what the platform does not know, and throws when the kernel refuses",
  () => {
    using memory = mapPages(PAGES);
    adviseMemory(memory.address, memory.length, "willneed");
    assertThrows(
      () => adviseMemory(memory.address, memory.length, "sleep" as "normal"),
      TypeError,
      'Cannot advise "sleep"',
    );
    const error = assertThrows(() => adviseMemory(memory.address + 1, 1, "normal"), SystemError);
    assertEquals([error.call, error.code], ["madvise", "EINVAL"]);
  },
);

linuxTest("syncMemory() writes a shared mapping back, waiting or not", () => {
  using file = openFile(new Uint8Array(PAGES * pageSize()));
  using memory = mapPages(PAGES, { fd: file.fd });
  memory.bytes.set(count(4));
  syncMemory(memory.address, memory.length, true);
  syncMemory(memory.address, memory.length, false);
  assertEquals([...file.content.subarray(0, 5)], [1, 2, 3, 4, 0]);
  assertThrows(() => syncMemory(memory.address + 1, 1, true), SystemError, "msync");
});

Deno.test("copyFromMapping() fills a buffer of exactly that length", () => {
  using memory = mapPages(PAGES);
  memory.bytes.set(count(8), 3);
  const buf = new Uint8Array(4);
  assertEquals([copyFromMapping(buf, memory.address + 5, 4), [...buf]], [true, [3, 4, 5, 6]]);
  for (const length of [0, 3, 5, -4, 4.5, NaN, 2 ** 32 + 4]) {
    assertEquals(copyFromMapping(buf, memory.address, length), false);
  }
  assertEquals([...buf], [3, 4, 5, 6]);
  assertEquals(copyFromMapping(new Uint8Array(0), memory.address, 0), true);
  assertEquals(COPY_LIMIT, 0x7fff_ffff);
});

Deno.test("bufferAt() refuses the null address", () => {
  assertThrows(() => bufferAt(0, 8), RangeError, "null address");
});

Deno.test("pageSize() is a power of two that libc() knows", () => {
  assertEquals([pageSize(), Math.log2(pageSize()) % 1], [libc().pageSize, 0]);
});

linuxTest("syncMemory() waits where it is told to", () => {
  using memory = mapPages(PAGES);
  const calls = pageCalls() as { msync: (address: bigint, length: bigint, how: number) => number };
  const { msync } = calls;
  const asked: number[] = [];
  calls.msync = (_address, _length, how) => asked.push(how) * 0;
  try {
    for (const wait of [true, false]) syncMemory(memory.address, memory.length, wait);
  } finally {
    calls.msync = msync;
  }
  assertEquals(asked, [libc().platform.msSync, MS_ASYNC]);
});

Deno.test("copyFromMapping() copies COPY_LIMIT bytes in one call", () => {
  const calls = copyCalls() as Record<"memmove", unknown>;
  const { memmove } = calls;
  const lengths: unknown[] = [];
  calls.memmove = (_to: unknown, _from: unknown, length: unknown) => {
    lengths.push(length);
  };
  const buffer = new Uint8Array(COPY_LIMIT);
  try {
    assertEquals(copyFromMapping(buffer, 4096, COPY_LIMIT), true);
  } finally {
    calls.memmove = memmove;
  }
  assertEquals(lengths, [BigInt(COPY_LIMIT)]);
});

linuxTest("forResidentRuns() looks at the lowest bit of each page's byte only", () => {
  using memory = mapPages(PAGES);
  const calls = pageCalls() as { mincore: (...args: [bigint, bigint, Uint8Array]) => number };
  const { mincore } = calls;
  calls.mincore = (_address, _length, residency) => {
    residency.set([0xff, 0xfe, 1, 0]);
    return 0;
  };
  try {
    const page = pageSize();
    assertEquals(runs(memory.address, memory.length), [[0, page], [2 * page, page]]);
  } finally {
    calls.mincore = mincore;
  }
});
