import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { Backing, MapFixed, type MmapOptions, OptionRefused, Permissions } from "../../../mod.ts";
import { readOptions } from "../../../src/backend/mmap/mmap_options.ts";
import { linuxTest } from "../../support/linux_test.ts";

// Of asm-generic/mman-common.h and mman.h.
const SHARED = 1;
const FIXED = 0x10;
const ANONYMOUS = 0x20;
const NORESERVE = 0x4000;
const POPULATE = 0x8000;
const HUGETLB = 0x40000;
const FIXED_NOREPLACE = 0x100000;

const DEFAULTS = {
  backing: { kind: "anonymous", shared: false, hugePages: undefined },
  protection: Permissions.ReadWrite,
  reserve: undefined,
  prefault: false,
  transparentHugePages: undefined,
  mergeable: false,
  dontDump: false,
  dontFork: false,
  lock: false,
  numa: undefined,
  guardPages: false,
  flags: 0,
} as const;

const GIVEN = {
  backing: Backing.memfd({ name: "given" }),
  protection: Permissions.Read,
  reserve: true,
  prefault: true,
  transparentHugePages: true,
  mergeable: true,
  dontDump: true,
  dontFork: true,
  lock: "onfault",
  numa: { nodes: [0, 3], policy: "interleave" },
  guardPages: true,
} as const satisfies MmapOptions;

Deno.test("readOptions() has a default for everything", () => {
  assertEquals(readOptions({}), DEFAULTS);
});

linuxTest("readOptions() has what is given, and the backing as it was read", () => {
  const plan = readOptions({ ...GIVEN, flags: NORESERVE });
  const backing = { kind: "memfd", name: "given", hugePages: undefined, seal: true } as const;
  assertEquals(plan, { ...GIVEN, flags: NORESERVE, backing });
});

Deno.test("readOptions() takes what is not given from a base, false too", () => {
  const base = readOptions(GIVEN);
  assertEquals(readOptions({}, base), base);
  const off = { reserve: false, prefault: false, transparentHugePages: false } as const;
  const more = { mergeable: false, dontDump: false, dontFork: false, lock: false } as const;
  const plan = readOptions({ ...off, ...more, guardPages: false, flags: 0 }, base);
  assertEquals(plan, { ...base, ...off, ...more, guardPages: false });
  assertStrictEquals(plan.backing, base.backing);
  const own = readOptions({ backing: Backing.anonymous({ shared: true }) }, base);
  assertEquals(own.backing.kind, "anonymous");
  assertEquals(own.protection, Permissions.Read);
});

Deno.test("readOptions() reads every option once", () => {
  const reads: Record<string, number> = {};
  const counted = new Proxy(GIVEN, {
    get(target, name) {
      reads[String(name)] = (reads[String(name)] ?? 0) + 1;
      return Reflect.get(target, name);
    },
  });
  readOptions(counted);
  assertEquals(Object.values(reads), Object.values(reads).map(() => 1));
  for (const name of Object.keys(GIVEN)) assertEquals([name, reads[name]], [name, 1]);
});

Deno.test("readOptions() reads the nodes of a placement once, into a list of its own", () => {
  const nodes = [0, 1];
  const plan = readOptions({ numa: { nodes, policy: "bind" } });
  nodes.push(-5);
  assertEquals(plan.numa, { nodes: [0, 1], policy: "bind" });
});

for (
  const name of [
    ...["reserve", "prefault", "transparentHugePages", "mergeable", "dontDump", "dontFork"],
    ...["lock", "guardPages"],
  ]
) {
  Deno.test(`readOptions() refuses ${name} that is no boolean`, () => {
    for (const bad of [1, "true", null, {}, 0n]) {
      assertThrows(() => readOptions({ [name]: bad } as MmapOptions), TypeError, name);
    }
  });
}

Deno.test("readOptions() refuses what is no backing", () => {
  for (const bad of [null, 1, "memfd", {}, { kind: "anonymous" }, Object.create(Backing.memfd())]) {
    assertThrows(() => readOptions({ backing: bad as Backing }), TypeError, "must be a Backing");
  }
});

Deno.test("readOptions() refuses a protection that is none", () => {
  for (const bad of [-1, 4, 0.5, "3", {}] as unknown as Permissions[]) {
    assertThrows(() => readOptions({ protection: bad }));
  }
});

Deno.test("readOptions() refuses a placement without nodes, or with what are none", () => {
  const place = (nodes: unknown, policy: unknown = "bind") => () =>
    readOptions({ numa: { nodes, policy } as NonNullable<MmapOptions["numa"]> });
  place([0, 1023])();
  for (const bad of [[], [-1], [1024], [0, 0.5], [NaN], ["0"], [0n]]) {
    assertThrows(place(bad), RangeError, "numbers from 0 to 1023");
  }
  for (const bad of ["local", "", 1, undefined]) {
    assertThrows(() => readOptions({ numa: { nodes: [0], policy: bad as "bind" } }), TypeError);
  }
});

linuxTest("readOptions() takes flags from a base, and zero instead", () => {
  const base = readOptions({ flags: NORESERVE });
  assertEquals([readOptions({}, base).flags, readOptions({ flags: 0 }, base).flags], [
    NORESERVE,
    0,
  ]);
});

linuxTest("readOptions() refuses MAP_FIXED and its like, whatever is beside it", () => {
  for (const flags of [undefined, 0, NORESERVE]) {
    readOptions(flags === undefined ? {} : { flags });
  }
  for (const flags of [FIXED, FIXED_NOREPLACE, FIXED | FIXED_NOREPLACE, FIXED | POPULATE]) {
    assertThrows(() => readOptions({ flags }), MapFixed);
  }
});

linuxTest("readOptions() refuses flags that an option stands for", () => {
  for (
    const flags of [
      SHARED,
      ANONYMOUS,
      HUGETLB,
      HUGETLB | 21 << 26,
      1 << 30,
      POPULATE,
      SHARED | NORESERVE,
    ]
  ) {
    const error = assertThrows(() => readOptions({ flags }), OptionRefused);
    assertEquals(error.option, "flags");
  }
});

Deno.test("readOptions() refuses flags that are no integer in [0, 2^31)", () => {
  for (const flags of [-1, 0.5, NaN, Infinity, 2 ** 31, 2 ** 32 + FIXED, "1", 1n, {}]) {
    assertThrows(() => readOptions({ flags: flags as number }), RangeError, "as flags");
  }
});
