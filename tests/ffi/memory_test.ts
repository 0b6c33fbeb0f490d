import { assert, assertEquals, assertThrows } from "@std/assert";
import { copyCalls, libc, pageCalls } from "../../ffi/libc.ts";
import {
  adviseMemory,
  bufferAt,
  COPY_LIMIT,
  copyFromMapping,
  copyToMapping,
  countResidentPages,
  findFreeRange,
  mapMemory,
  pageSize,
  protectMemory,
  syncMemory,
  unmapMemory,
} from "../../ffi/memory.ts";
import { MS_ASYNC } from "../../ffi/platform.ts";
import { SystemError } from "../../mod.ts";
import { linuxTest } from "../support/linux_test.ts";
import { mappingAt } from "../support/proc_maps.ts";
import { openFile } from "../support/posix.ts";
import { count } from "../support/values.ts";

const PAGES = 4;

interface Mapped extends Disposable {
  readonly address: number;
  readonly length: number;
  readonly bytes: Uint8Array;
}

function map(fd = -1): Mapped {
  const { platform: { map } } = libc();
  const length = PAGES * pageSize();
  const flags = fd < 0 ? map.private | map.anonymous : map.shared;
  const address = mapMemory({ hint: 0, length, prot: 3, flags, fd, offset: 0 });
  const buffer = bufferAt(address, length);
  return {
    address,
    length,
    bytes: new Uint8Array(buffer),
    [Symbol.dispose]() {
      buffer.transfer(0);
      unmapMemory(address, length);
    },
  };
}

linuxTest("mapMemory() maps zeroed memory, and unmapMemory() ends it", () => {
  let address;
  {
    using memory = map();
    ({ address } = memory);
    assertEquals(mappingAt(BigInt(address))?.permissions, "rw-p");
    assert(memory.bytes.every((byte) => byte === 0));
    assertEquals([memory.bytes.length, address % pageSize()], [PAGES * pageSize(), 0]);
  }
  assertEquals(mappingAt(BigInt(address)), undefined);
});

linuxTest("mapMemory() maps near the hint, and over nothing", () => {
  using first = map();
  const { platform: { map: flag } } = libc();
  const length = pageSize();
  const flags = flag.private | flag.anonymous;
  const again = mapMemory({ hint: first.address, length, prot: 3, flags, fd: -1, offset: 0 });
  assert(again < first.address || again >= first.address + first.length);
  unmapMemory(again, length);
});

linuxTest("protectMemory() changes what the kernel allows", () => {
  using memory = map();
  for (const [prot, permissions] of [[0, "---p"], [1, "r--p"], [3, "rw-p"]] as const) {
    protectMemory(memory.address, memory.length, prot);
    assertEquals(mappingAt(BigInt(memory.address))?.permissions, permissions);
  }
  const error = assertThrows(() => protectMemory(memory.address + 1, 1, 1), SystemError);
  assertEquals([error.call, error.code], ["mprotect", "EINVAL"]);
  assert(error.message.includes(`0x${(memory.address + 1).toString(16)}`));
});

linuxTest("countResidentPages() counts what was touched and not discarded", () => {
  using memory = map();
  assertEquals(countResidentPages(memory.address, memory.length), 0);
  memory.bytes[0] = 1;
  memory.bytes[2 * pageSize()] = 1;
  assertEquals(countResidentPages(memory.address, memory.length), 2);
  assertEquals(countResidentPages(memory.address, 1), 1);
  assertEquals(countResidentPages(memory.address + pageSize(), pageSize()), 0);
  adviseMemory(memory.address, pageSize(), "dontneed");
  assertEquals([memory.bytes[0], memory.bytes[2 * pageSize()]], [0, 1]);
  assertEquals(countResidentPages(memory.address, 0), 0);
  assertThrows(() => countResidentPages(memory.address + 1, 1), SystemError, "mincore");
});

linuxTest("countResidentPages() counts over 65,536 pages, in several calls", () => {
  const { platform: { map } } = libc();
  const length = (65_536 + 3) * pageSize();
  const flags = map.private | map.anonymous | map.noReserve;
  const address = mapMemory({ hint: 0, length, prot: 3, flags, fd: -1, offset: 0 });
  adviseMemory(address, length, "nohugepage");
  for (const page of [0, 65_535, 65_536, 65_538]) {
    copyToMapping(Uint8Array.of(1), address + page * pageSize(), 1);
  }
  assertEquals(countResidentPages(address, length), 4);
  unmapMemory(address, length);
});

linuxTest(
  "adviseMemory() refuses what the platform does not know, and throws when the kernel refuses",
  () => {
    using memory = map();
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
  using memory = map(file.fd);
  memory.bytes.set(count(4));
  syncMemory(memory.address, memory.length, true);
  syncMemory(memory.address, memory.length, false);
  assertEquals([...file.content.subarray(0, 5)], [1, 2, 3, 4, 0]);
  assertThrows(() => syncMemory(memory.address + 1, 1, true), SystemError, "msync");
});

Deno.test("copyFromMapping() and copyToMapping() copy a buffer of exactly that length", () => {
  using memory = map();
  assertEquals(copyToMapping(count(8), memory.address + 3, 8), true);
  assertEquals([...memory.bytes.subarray(2, 13)], [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]);
  const buf = new Uint8Array(4);
  assertEquals([copyFromMapping(buf, memory.address + 5, 4), [...buf]], [true, [3, 4, 5, 6]]);
  for (const length of [0, 3, 5, -4, 4.5, NaN, 2 ** 32 + 4]) {
    assertEquals(copyFromMapping(buf, memory.address, length), false);
    assertEquals(copyToMapping(buf, memory.address, length), false);
  }
  assertEquals([[...buf], memory.bytes[0]], [[3, 4, 5, 6], 0]);
  assertEquals(copyFromMapping(new Uint8Array(0), memory.address, 0), true);
  assertEquals(COPY_LIMIT, 0x7fff_ffff);
});

Deno.test("bufferAt() refuses the null address", () => {
  assertThrows(() => bufferAt(0, 8), RangeError, "null address");
});

Deno.test("pageSize() is a power of two that libc() knows", () => {
  assertEquals([pageSize(), Math.log2(pageSize()) % 1], [libc().pageSize, 0]);
});

Deno.test("findFreeRange() is a multiple of 2 MiB, wherever the free range begins", () => {
  for (let step = 0; step < 16; step++) {
    const address = findFreeRange(4096 + step * 2 ** 17);
    assert(address > 0);
    assertEquals(address % 2 ** 21, 0);
  }
});

linuxTest("syncMemory() waits where it is told to", () => {
  using memory = map();
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

Deno.test("copyFromMapping() and copyToMapping() copy COPY_LIMIT bytes in one call", () => {
  const calls = copyCalls() as Record<"read" | "write", unknown>;
  const { read, write } = calls;
  const lengths: unknown[] = [];
  calls.read = calls.write = (_to: unknown, _from: unknown, length: unknown) => {
    lengths.push(length);
  };
  const buffer = new Uint8Array(COPY_LIMIT);
  try {
    assertEquals(copyFromMapping(buffer, 4096, COPY_LIMIT), true);
    assertEquals(copyToMapping(buffer, 4096, COPY_LIMIT), true);
  } finally {
    Object.assign(calls, { read, write });
  }
  assertEquals(lengths, [BigInt(COPY_LIMIT), BigInt(COPY_LIMIT)]);
});

linuxTest("countResidentPages() looks at the lowest bit of each page's byte only", () => {
  using memory = map();
  const calls = pageCalls() as { mincore: (...args: [bigint, bigint, Uint8Array]) => number };
  const { mincore } = calls;
  calls.mincore = (_address, _length, residency) => {
    residency.set([0xff, 0xfe, 1, 0]);
    return 0;
  };
  try {
    assertEquals(countResidentPages(memory.address, memory.length), 2);
  } finally {
    calls.mincore = mincore;
  }
});
