import { assertEquals, assertThrows } from "@std/assert";
import { closeSync, openSync } from "node:fs";
import { Backing, FileOffset, MmapRegion, SystemError } from "../../../mod.ts";
import type { BackingPlan } from "../../../src/backend/mmap/backing.ts";
import { NOT_OPEN } from "../../support/descriptors.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { open } from "../../support/posix.ts";
import { temporaryFile } from "../../support/temporary_file.ts";

const { planOf } = Backing;

Deno.test("Backing.anonymous() is private and of ordinary pages, unless it is asked to", () => {
  const plain = { kind: "anonymous", shared: false, hugePages: undefined } as const;
  assertEquals(planOf(Backing.anonymous()), plain);
  assertEquals(planOf(Backing.anonymous({ shared: true, hugePages: 2 ** 30 })), {
    ...plain,
    shared: true,
    hugePages: 2 ** 30,
  });
});

Deno.test("Backing.memfd() has a name and a sealed size, unless it is asked to", () => {
  const plain = { kind: "memfd", name: "guest-memory", hugePages: undefined, seal: true } as const;
  assertEquals(planOf(Backing.memfd()), plain);
  assertEquals(planOf(Backing.memfd({ name: "a", seal: false, hugePages: 2 ** 21 })), {
    ...plain,
    name: "a",
    seal: false,
    hugePages: 2 ** 21,
  });
});

linuxTest("Backing.file() takes a place in a file, a file or a descriptor", () => {
  using file = temporaryFile(0x2000);
  using opened = Deno.openSync(file.path, { read: true, write: true });
  const place = new FileOffset(opened, 0x1000);
  const plan = { kind: "file", fd: place.fd, start: 0, private: false } as const;
  const cases: readonly (readonly [Backing, Partial<BackingPlan>])[] = [
    [Backing.file(place), { ...plan, file: place, start: 0x1000 }],
    [Backing.file(opened, { private: true }), { ...plan, private: true }],
    [Backing.file(place.fd), plan],
  ];
  for (const [backing, expected] of cases) {
    assertEquals({ ...planOf(backing), ...expected }, planOf(backing));
  }
});

linuxTest("Backing.file() lets the file be closed once it is mapped", () => {
  using file = temporaryFile(new Uint8Array(0x1000).fill(7));
  const opened = open(file.path, "r+");
  const region = new MmapRegion(0x1000, { backing: Backing.file(opened.fd) });
  opened[Symbol.dispose]();
  using again = MmapRegion.attach(region.share());
  region.close();
  again.flush();
  assertEquals(again.discard(0, 0x1000), 0x1000);
  assertEquals(Deno.readFileSync(file.path)[0], 0);
});

Deno.test("Backing.file() of a descriptor that is not open fails when it is mapped", () => {
  const backing = Backing.file(NOT_OPEN);
  assertThrows(() => new MmapRegion(0x1000, { backing }), SystemError, "EBADF");
  for (const bad of [-1, 0.5, 2 ** 31, NaN]) assertThrows(() => Backing.file(bad), RangeError);
});

Deno.test("Backing.foreign() takes an address, which mapping checks", () => {
  assertEquals(planOf(Backing.foreign(7n)), { kind: "foreign", hostAddress: 7n });
  for (const bad of [7, "7", null, undefined, {}] as unknown as bigint[]) {
    assertThrows(() => Backing.foreign(bad), TypeError, "hostAddress");
  }
});

for (const make of [Backing.anonymous, Backing.memfd]) {
  Deno.test(`Backing.${make.name}() refuses huge pages of a size that no page can have`, () => {
    for (const hugePages of [0, -1, 0.5, 2 ** 21 + 4096, 3 * 2 ** 20, NaN, Infinity]) {
      assertThrows(() => make({ hugePages }), RangeError, "not a power of two");
    }
    // Mapping says what size pages have.
    assertEquals((planOf(make({ hugePages: 1 })) as { hugePages?: number }).hugePages, 1);
    for (const hugePages of ["2097152", 2n ** 21n, {}, null] as unknown as number[]) {
      assertThrows(() => make({ hugePages }));
    }
  });
}

Deno.test("Backing refuses what is not a boolean where it takes one", () => {
  const text = "no" as unknown as boolean;
  assertThrows(() => Backing.anonymous({ shared: text }), TypeError, "shared");
  assertThrows(() => Backing.memfd({ seal: text }), TypeError, "seal");
  assertThrows(() => Backing.file(0, { private: text }), TypeError, "private");
});

Deno.test("Backing.memfd() refuses a name that is no text", () => {
  for (const name of [1, null, {}, Symbol("s")] as unknown as string[]) {
    assertThrows(() => Backing.memfd({ name }), TypeError, "name");
  }
});

Deno.test("Backing.planOf() refuses what Backing did not make", () => {
  for (const bad of [undefined, null, 1, "text", {}, Object.create(Backing.memfd())]) {
    assertThrows(() => planOf(bad as Backing), TypeError, "must be a Backing");
  }
});

Deno.test("new Backing() refuses every plan, as its functions check what they take", () => {
  for (const plan of [undefined, null, {}, { kind: "anonymous", shared: false }]) {
    assertThrows(() => Reflect.construct(Backing, [plan]), TypeError, "Illegal constructor");
  }
});

linuxTest("Backing.file() checks the numbers that a FileOffset has now", () => {
  using file = temporaryFile(0x1000);
  const fd = openSync(file.path, "r+");
  for (const change of [{ fd: -1 }, { fd: 0.5 }, { start: 1n }, { start: NaN }]) {
    const place = Object.assign(new FileOffset(fd), change);
    assertThrows(() => Backing.file(place), RangeError, "Cannot");
  }
  closeSync(fd);
});
