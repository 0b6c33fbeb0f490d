import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  Backing,
  FileOffset,
  InvalidOffsetLength,
  InvalidPointer,
  MappingPastEof,
  type MmapOptions,
  OptionRefused,
  pageSize,
  Permissions,
  SystemError,
} from "../../../mod.ts";
import { allocateFile } from "../../../ffi/file_space.ts";
import { forResidentRuns } from "../../../ffi/memory.ts";
import { checkSize, mapAll, type MappingRequest } from "../../../src/backend/mmap/map_memory.ts";
import type { Mapping } from "../../../src/backend/mmap/mapping.ts";
import { readOptions } from "../../../src/backend/mmap/mmap_options.ts";
import { NOT_OPEN } from "../../support/descriptors.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { countMappedBytes } from "../../support/mapped_bytes.ts";
import { detailsAt, mappingAt, mappingsOf } from "../../support/proc_maps.ts";
import { open } from "../../support/posix.ts";
import { withSystemFiles } from "../../support/system_files.ts";
import { temporaryFile } from "../../support/temporary_file.ts";

const PAGE = pageSize();
// Of asm-generic/mman-common.h and mman.h.
const SHARED = 1;
const PRIVATE = 2;
const ANONYMOUS = 0x20;
const NORESERVE = 0x4000;

const openCount = () => [...Deno.readDirSync("/proc/self/fd")].length;

function request(size: number, options: MmapOptions = {}, startAddr?: number): MappingRequest {
  const plan = readOptions(options);
  return { size, plan, ...(startAddr === undefined ? {} : { startAddr }) };
}

/** Mappings that are released at the end of the scope. */
function mapped(...requests: MappingRequest[]): Mapping[] & Disposable {
  const all = mapAll(requests);
  return Object.assign(all, {
    [Symbol.dispose]: () => all.forEach((mapping) => mapping.release()),
  });
}

const one = (size: number, options?: MmapOptions) => mapped(request(size, options));

linuxTest(
  "mapAll() maps private without a file, and shared with one, unless it is asked to",
  () => {
    using file = temporaryFile(PAGE);
    using opened = Deno.openSync(file.path, { read: true, write: true });
    const cases: readonly (readonly [MmapOptions, number, string])[] = [
      [{}, PRIVATE | ANONYMOUS, "rw-p"],
      [{ backing: Backing.anonymous({ shared: true }) }, SHARED | ANONYMOUS, "rw-s"],
      [{ backing: Backing.file(opened) }, SHARED, "rw-s"],
      [{ backing: Backing.file(opened, { private: true }) }, PRIVATE, "rw-p"],
      [{ backing: Backing.memfd() }, SHARED, "rw-s"],
    ];
    for (const [options, flags, shown] of cases) {
      using all = one(PAGE, options);
      const { shape } = all[0]!;
      assertEquals([shape.flags, shape.shared], [flags | NORESERVE, (flags & SHARED) !== 0]);
      assertEquals(mappingAt(BigInt(shape.address))?.permissions, shown);
    }
  },
);

linuxTest("mapAll() reserves if it is asked to, and adds the flags that it is given", () => {
  const flagsOf = (options: MmapOptions) => {
    using all = one(PAGE, options);
    return all[0]!.shape.flags;
  };
  assertEquals(flagsOf({ reserve: true }), PRIVATE | ANONYMOUS);
  assertEquals(flagsOf({ reserve: false }), PRIVATE | ANONYMOUS | NORESERVE);
  assertEquals(flagsOf({ reserve: true, flags: NORESERVE }), PRIVATE | ANONYMOUS | NORESERVE);
});

linuxTest("mapAll() maps what is adjacent in the guest side by side in the host", () => {
  const [a, b, c, d] = [5 * PAGE, PAGE, 2 * PAGE, 3 * PAGE];
  using all = mapped(
    request(a, {}, 0),
    request(b, { backing: Backing.memfd() }, a),
    request(c, {}, a + b),
    request(d, {}, 2 ** 32),
  );
  const address = (n: number) => all[n]!.shape.address;
  assertEquals([address(1), address(2)], [address(0) + a, address(1) + b]);
  assert(address(3) !== address(2) + c || address(3) % 2 ** 21 === 0);
  assertEquals(all.map(({ shape: { kind } }) => kind), [
    ...["anonymous", "memfd", "anonymous", "anonymous"],
  ]);
});

linuxTest("mapAll() begins at a multiple of 2 MiB where a group has as much", () => {
  const half = 2 ** 20;
  using all = mapped(
    ...[request(half, {}, 0), request(half, {}, half), request(PAGE, {}, 2 ** 32)],
  );
  assertEquals(all[0]!.shape.address % 2 ** 21, 0);
  for (let i = 0; i < 4; i++) {
    using alone = one(2 ** 21 + PAGE);
    assertEquals(alone[0]!.shape.address % 2 ** 21, 0);
    using guarded = one(2 ** 21, { guardPages: true });
    assertEquals(guarded[0]!.shape.address % 2 ** 21, 0);
  }
});

linuxTest("mapAll() of a size inside a page ends the group, as the next cannot be adjacent", () => {
  using all = mapped(request(1000, {}, 0), request(PAGE, {}, 1000));
  const [first, second] = all;
  assert(second!.shape.address !== first!.shape.address + 1000);
  assertEquals(second!.shape.address % PAGE, 0);
});

linuxTest("mapAll() leaves nothing reserved but what is mapped", () => {
  countMappedBytes((mapped) => {
    const all = mapAll([
      ...[request(1000, {}, 2 ** 40), request(PAGE, {}, 0), request(2 ** 21, {}, PAGE)],
      request(PAGE, { backing: Backing.foreign(BigInt(PAGE)) }, PAGE + 2 ** 21),
      request(PAGE, { guardPages: true }, 2 ** 41),
      request(2 ** 21, { guardPages: true }, 2 ** 42),
    ]);
    assertEquals(mapped(), PAGE + 2 ** 21 + PAGE + 3 * PAGE + 2 ** 21 + 2 * PAGE);
    for (const mapping of all) mapping.release();
    assertEquals(mapped(), 0);
  });
});

linuxTest("mapAll() with guard pages refuses every access around a region", () => {
  for (const size of [PAGE, 3 * PAGE, 2 ** 21, 1000]) {
    const all = one(size, { guardPages: true });
    const { address, guard } = all[0]!.shape;
    const end = address + Math.ceil(size / PAGE) * PAGE;
    assertEquals(guard, PAGE);
    const permissions = (at: number) => mappingAt(BigInt(at))?.permissions;
    assertEquals([permissions(address - 1), permissions(end)], ["---p", "---p"]);
    assertEquals([permissions(address), permissions(end - 1)], ["rw-p", "rw-p"]);
    all[Symbol.dispose]();
    assertEquals([address - 1, address, end - 1, end].map(permissions), Array(4).fill(undefined));
  }
});

linuxTest("mapAll() puts guard pages around a region that follows another without", () => {
  using all = mapped(request(PAGE, {}, 0), request(PAGE, { guardPages: true }, PAGE));
  assertEquals(all.map(({ shape: { guard } }) => guard), [0, PAGE]);
});

linuxTest("mapAll() begins huge pages at one, also after a region of ordinary pages", () => {
  const backing = Backing.anonymous({ hugePages: 2 ** 21 });
  const two = [request(PAGE, {}, 0), request(2 ** 21, { backing }, PAGE)];
  try {
    using all = mapped(...two);
    assertEquals(all[1]!.shape.address % 2 ** 21, 0);
  } catch (error) {
    // The pool is empty. The kernel checks the address before.
    assert(error instanceof OptionRefused && error.option === "hugePages", `${error}`);
    assertEquals((error.cause as SystemError).code, "ENOMEM");
  }
});

linuxTest("mapAll() maps the ranges of one backing one after another in its file", () => {
  const backing = Backing.memfd({ name: "one" });
  using all = mapped(
    request(PAGE, { backing }, 0),
    request(PAGE, {}, PAGE),
    request(2 * PAGE, { backing }, 2 ** 32),
    request(1000, { backing }, 2 ** 33),
  );
  assertEquals(all.map(({ shape }) => shape.fileStart), [0, 0, PAGE, 3 * PAGE]);
  const descriptors = all.map(({ descriptor }) => descriptor);
  assertStrictEquals(descriptors[0], descriptors[2]);
  assertStrictEquals(descriptors[0], descriptors[3]);
  assertEquals(descriptors[1], undefined);
  assertEquals(
    mappingsOf("/memfd:one (deleted)").map(({ offset }) => offset).sort(),
    [
      ...[0, 3 * PAGE, PAGE],
    ].sort(),
  );
  // The file has as many bytes as they take.
  const { fd } = descriptors[0]!;
  assertEquals(Deno.statSync(`/proc/self/fd/${fd}`).size, 4 * PAGE);
});

linuxTest("mapAll() names the option that a memfd is refused for", () => {
  const name = "n".repeat(300);
  for (const [hugePages, option] of [[undefined, "backing"], [2 ** 21, "hugePages"]] as const) {
    const backing = Backing.memfd(hugePages === undefined ? { name } : { name, hugePages });
    assertEquals(assertThrows(() => one(2 ** 21, { backing }), OptionRefused).option, option);
  }
});

linuxTest("mapAll() refuses huge pages of a size that the processor does not have", () => {
  const hugePages = 2 ** 13;
  for (const backing of [Backing.anonymous({ hugePages }), Backing.memfd({ hugePages })]) {
    assertEquals(
      assertThrows(() => one(hugePages, { backing }), OptionRefused).option,
      "hugePages",
    );
  }
});

linuxTest("mapAll() closes the descriptors of a backing with its last mapping", () => {
  using file = temporaryFile(2 * PAGE);
  using opened = open(file.path, "r+");
  const before = openCount();
  for (const backing of [Backing.memfd(), Backing.file(opened.fd)]) {
    const [first, second] = mapAll([request(PAGE, { backing }), request(PAGE, { backing })]);
    assertEquals(openCount(), before + 1);
    first!.release();
    assertEquals(openCount(), before + 1);
    second!.release();
    assertEquals(openCount(), before);
  }
});

linuxTest("mapAll() that fails midway unmaps everything, and closes every descriptor", () => {
  using file = temporaryFile(2 * PAGE);
  using opened = open(file.path, "r+");
  const before = openCount();
  const good = [
    request(PAGE, { backing: Backing.memfd({ name: "undone" }) }, 0),
    request(PAGE, { backing: Backing.file(opened.fd) }, PAGE),
    request(PAGE, { guardPages: true }, 2 ** 32),
  ];
  const bad: readonly MappingRequest[] = [
    request(2 ** 52),
    request(0),
    request(4 * PAGE, { backing: Backing.file(opened.fd) }),
    request(PAGE, { backing: Backing.foreign(1n) }),
    request(0, { backing: Backing.memfd({ hugePages: 2 ** 21 }) }),
    request(0, { backing: Backing.anonymous({ hugePages: 2 ** 21 }) }),
    request(0, { guardPages: true }),
    request(2 ** 40, { prefault: true }),
    request(PAGE, { backing: Backing.memfd({ name: "n".repeat(300) }) }),
  ];
  for (const last of bad) {
    countMappedBytes((mapped) => {
      assertThrows(() => mapAll([...good, { ...last, startAddr: 2 ** 40 }]));
      assertEquals(mapped(), 0);
    });
    assertEquals(mappingsOf("/memfd:undone (deleted)"), []);
    assertEquals(mappingsOf(file.path), []);
    assertEquals(openCount(), before);
  }
});

linuxTest("mapAll() of no bytes throws what mmap says, in pages of any size", () => {
  for (
    const options of [
      {},
      { guardPages: true },
      { backing: Backing.memfd() },
      { backing: Backing.anonymous({ hugePages: 2 ** 21 }) },
    ]
  ) {
    const { call, code } = assertThrows(() => one(0, options), SystemError);
    assertEquals([call, code], ["mmap", "EINVAL"]);
  }
});

linuxTest("mapAll() wants every byte that is mapped of a regular file", () => {
  using file = temporaryFile(2 * PAGE);
  using opened = open(file.path, "r+");
  const map = (start: number, size: number) => {
    using _all = one(size, { backing: Backing.file(new FileOffset(opened.fd, start)) });
  };
  for (const [start, size] of [[0, 2 * PAGE], [PAGE, PAGE], [0, 1]] as const) map(start, size);
  for (const [start, size] of [[0, 2 * PAGE + 1], [PAGE, PAGE + 1], [2 * PAGE, 1]] as const) {
    assertThrows(() => map(start, size), MappingPastEof, "it ends at 8192");
  }
  assertThrows(() => map(3 * PAGE, 0), MappingPastEof);
  // The second range of a backing is further on in the file.
  const backing = Backing.file(opened.fd);
  const two = [request(PAGE, { backing }), request(2 * PAGE, { backing })];
  assertThrows(() => mapAll(two), MappingPastEof);
  using device = open("/dev/zero", "r+");
  using _all = one(2 ** 30, { backing: Backing.file(device.fd, { private: true }) });
});

linuxTest("mapAll() refuses an end of a file beyond 2^53", () => {
  using device = open("/dev/zero", "r+");
  const map = (start: number, size: number) => () =>
    mapAll([request(size, { backing: Backing.file(new FileOffset(device.fd, start)) })]);
  assertThrows(map(2 ** 53 - PAGE, PAGE), InvalidOffsetLength);
  assertThrows(map(PAGE, 2 ** 53 - 1), InvalidOffsetLength);
  for (const mapping of map(2 ** 53 - PAGE, PAGE - 1)()) mapping.release();
  const closed = Backing.file(NOT_OPEN);
  assertThrows(() => one(PAGE, { backing: closed }), SystemError, "EBADF");
});

linuxTest("mapAll() adopts foreign memory at the start of a page below 2^53", () => {
  const page = BigInt(PAGE);
  const adopt = (address: bigint, size: number) =>
    mapAll([request(size, { backing: Backing.foreign(address) })])[0]!;
  for (const pages of [1n, 2n, 1000n]) {
    const { shape, owned } = adopt(pages * page, 1);
    assertEquals([shape.address, shape.length, shape.kind, owned], [
      ...[Number(pages * page), 1, "foreign", false],
    ]);
  }
  for (const pointer of [0n, -page, 1n, page - 1n, page + 1n, 2n ** 53n, 2n ** 64n]) {
    assertThrows(() => adopt(pointer, 1), InvalidPointer);
  }
  const last = 2n ** 53n - page;
  assertEquals(adopt(last, PAGE - 1).shape.address, Number(last));
  assertThrows(() => adopt(last, PAGE), InvalidPointer);
});

Deno.test("mapAll() refuses options of foreign memory, which is somebody else's", () => {
  const backing = Backing.foreign(0x1000n);
  const options: readonly MmapOptions[] = [
    ...[{ lock: true }, { lock: "onfault" }, { prefault: true }, { guardPages: true }] as const,
    ...[{ mergeable: true }, { dontDump: true }, { dontFork: true }, { reserve: true }],
    { transparentHugePages: true },
    { numa: { nodes: [0], policy: "bind" } },
  ];
  for (const option of options) {
    const error = assertThrows(() => one(PAGE, { backing, ...option }), OptionRefused);
    assertEquals(error.option, Object.keys(option)[0]);
  }
});

linuxTest("mapAll() sets the options of pages, which the kernel shows", () => {
  using all = one(4 * PAGE, { dontDump: true, dontFork: true, lock: "onfault" });
  const { vmFlags } = detailsAt(BigInt(all[0]!.shape.address));
  for (const flag of ["dd", "dc", "lo"]) assert(vmFlags.includes(flag), `${vmFlags}`);
  const { shape } = all[0]!;
  assertEquals([shape.options.dontDump, shape.options.lock], [true, "onfault"]);
});

linuxTest("mapAll() with prefault takes all pages, with none it takes none", () => {
  for (const prefault of [true, false]) {
    for (const backing of [Backing.anonymous(), Backing.memfd()]) {
      using all = one(8 * PAGE, { prefault, backing });
      let resident = 0;
      const { address, length } = all[0]!.shape;
      forResidentRuns(address, length, (_, bytes) => resident += bytes);
      assertEquals(resident, prefault ? length : 0);
    }
  }
  assertThrows(() => one(PAGE, { prefault: true, protection: Permissions.No }), OptionRefused);
});

linuxTest("mapAll() refuses more than the host has, before it maps anything", () => {
  for (const options of [{ prefault: true }, { lock: true }] as const) {
    const error = assertThrows(() => one(2 ** 46, options), OptionRefused, "are available");
    assertEquals(error.option, Object.keys(options)[0]);
  }
  const backing = Backing.memfd();
  const error = assertThrows(() => one(2 ** 46, { reserve: true, backing }), OptionRefused);
  assertEquals(error.option, "reserve");
  // What is not taken now, or from elsewhere, does not count.
  using device = open("/dev/zero", "r+");
  const others: readonly (readonly [MmapOptions, string])[] = [
    [{ backing: Backing.anonymous({ hugePages: 2 ** 21 }), prefault: true }, "hugePages"],
    [{ backing: Backing.file(device.fd), prefault: true, protection: Permissions.No }, "prefault"],
    [{ lock: "onfault", prefault: false }, "lock"],
  ];
  for (const [options, option] of others) {
    try {
      one(2 ** 44, options)[Symbol.dispose]();
    } catch (error) {
      assert(error instanceof OptionRefused && !/are available/.test(error.message), `${error}`);
      assertEquals(error.option, option);
    }
  }
  // Two halves are as much as one.
  assertThrows(
    () => mapAll([request(2 ** 45, { prefault: true }), request(2 ** 45, { prefault: true })]),
    OptionRefused,
  );
});

linuxTest("mapAll() counts what it takes of the host, and nothing that is there", () => {
  using file = temporaryFile(4 * PAGE);
  using opened = open(file.path, "r+");
  using memfd = one(4 * PAGE, { backing: Backing.memfd({ seal: false }) });
  const { fd } = memfd[0]!.descriptor!;
  const map = (options: MmapOptions) => () =>
    withSystemFiles({ "/proc/meminfo": "MemAvailable: 0 kB\n" }, () => {
      using _all = one(4 * PAGE, { prefault: true, ...options });
    });
  const copy = Backing.file(opened.fd, { private: true });
  const given = Backing.file(fd);
  map({ backing: copy, protection: Permissions.Read })();
  assertThrows(map({ backing: copy }), OptionRefused, "16 KiB are needed");
  allocateFile(fd, 0, PAGE);
  assertThrows(map({ backing: given }), OptionRefused, "12 KiB are needed");
  allocateFile(fd, 0, 4 * PAGE);
  map({ backing: given })();
});

Deno.test("mapAll() refuses a guest address that is no integer from 0", () => {
  for (const startAddr of [-1, 0.5, NaN]) {
    assertThrows(() => mapAll([request(PAGE, {}, startAddr)]));
  }
});

linuxTest("mapAll() with reserve takes the room of a shared file, and of no private one", () => {
  for (const isPrivate of [false, true]) {
    using file = temporaryFile(64 * PAGE);
    using opened = open(file.path, "r+");
    const backing = Backing.file(opened.fd, { private: isPrivate });
    using _all = one(64 * PAGE, { backing, reserve: true });
    const { blocks } = Deno.statSync(file.path);
    assertEquals(blocks! * 512 >= 64 * PAGE, !isPrivate);
  }
  // A mapping has to be readable: that is not for a lack of room.
  using file = temporaryFile(PAGE);
  using writing = open(file.path, "w");
  Deno.truncateSync(file.path, PAGE);
  const backing = Backing.file(writing.fd, { private: true });
  assertThrows(() => one(PAGE, { backing, reserve: true }), SystemError, "EACCES");
  // A device has none.
  using device = open("/dev/zero", "r+");
  using _all = one(PAGE, { backing: Backing.file(device.fd), reserve: true });
});

Deno.test("mapAll() wants a size of whole huge pages", () => {
  for (const make of [Backing.anonymous, Backing.memfd]) {
    const backing = make({ hugePages: 2 ** 21 });
    for (const size of [1, PAGE, 2 ** 21 - 1, 2 ** 21 + PAGE]) {
      assertThrows(() => one(size, { backing }), RangeError, "not a multiple of 2 MiB");
    }
  }
});

Deno.test("checkSize() wants an integer in [0, 2^53)", () => {
  for (const size of [0, 1, 2 ** 53 - 1]) checkSize(size);
  for (const size of [-1, 0.5, NaN, Infinity, 2 ** 53, "1", 1n]) {
    assertThrows(() => checkSize(size as number), RangeError);
  }
});
