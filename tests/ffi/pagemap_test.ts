import { assertEquals, assertThrows } from "@std/assert";
import { SystemError } from "../../mod.ts";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { pageSize } from "../../ffi/memory.ts";
import { openPagemap, PAGE, type PageScan, SCAN, scanPages } from "../../ffi/pagemap.ts";
import { linuxTest } from "../support/linux_test.ts";
import { mapPages } from "../support/mapped_pages.ts";

type Run = [page: number, pages: number, categories: number];

// Why there is no such call, before Linux 6.7.
const reason = (() => {
  if (Deno.build.os !== "linux") return "needs Linux";
  try {
    runsOf({ address: 0, length: 0 });
  } catch (error) {
    return `${error}`;
  }
})();

function pagemapTest(name: string, fn: () => void): void {
  const ignore = reason !== undefined;
  Deno.test({ name: ignore ? `${name} (ignored: ${reason})` : name, ignore, fn });
}

// The runs of a scan, in pages.
function runsOf(scan: PageScan): Run[] {
  const runs: Run[] = [];
  const pagemap = openPagemap();
  try {
    scanPages(pagemap, scan, (offset, length, categories) => {
      runs.push([offset / pageSize(), length / pageSize(), categories]);
    });
  } finally {
    closeDescriptor(pagemap);
  }
  return runs;
}

linuxTest("openPagemap() opens a descriptor that other programs do not get", () => {
  const pagemap = openPagemap();
  const { flags } = /flags:\s*(?<flags>\d+)/
    .exec(Deno.readTextFileSync(`/proc/self/fdinfo/${pagemap}`))!.groups!;
  closeDescriptor(pagemap);
  assertEquals(parseInt(flags!, 8) & 0o2000000, 0o2000000);
});

pagemapTest(
  "scanPages() finds pages by mask, inverted and anyOf, and returns what they are",
  () => {
    using memory = mapPages(16);
    const { address, length, bytes } = memory;
    const page = pageSize();
    bytes[3 * page] = 1;
    bytes[4 * page] = 1;
    assertEquals(bytes[9 * page], 0);
    const { present, swapped, zero, file } = PAGE;
    const range = { address, length };
    assertEquals(runsOf({ ...range, mask: present, returned: present }), [
      [3, 2, present],
      [9, 1, present],
    ]);
    assertEquals(runsOf({ ...range, mask: present, returned: zero }), [[3, 2, 0], [9, 1, zero]]);
    assertEquals(runsOf({ ...range, mask: present | zero, inverted: zero }), [[3, 2, 0]]);
    assertEquals(runsOf({ ...range, mask: file, inverted: file, anyOf: present | swapped }), [
      [3, 2, 0],
      [9, 1, 0],
    ]);
    assertEquals(runsOf({ ...range, returned: present }), [
      [0, 3, 0],
      [3, 2, present],
      [5, 4, 0],
      [9, 1, present],
      [10, 6, 0],
    ]);
  },
);

pagemapTest("scanPages() finds what is in its range only, in whole pages", () => {
  using memory = mapPages(8);
  const page = pageSize();
  memory.bytes.fill(1);
  const scan = { mask: PAGE.present, address: memory.address + page };
  assertEquals(runsOf({ ...scan, length: 0 }), []);
  assertEquals(runsOf({ ...scan, length: page }), [[0, 1, 0]]);
  assertEquals(runsOf({ ...scan, length: page + 1 }), [[0, 2, 0]]);
});

pagemapTest("scanPages() makes as many calls as the runs need, and joins what they found", () => {
  // Runs of 1 to 3 pages, more than two calls take. Pages that are read take no memory.
  const lengths = Array.from({ length: 140_001 }, (_, i) => 1 + (i * i) % 3);
  using memory = mapPages(lengths.reduce((sum, pages) => sum + pages));
  const expected: Run[] = [];
  let page = 0;
  let sum = 0;
  for (const [i, pages] of lengths.entries()) {
    const isPresent = i % 2 === 1;
    for (let k = page; isPresent && k < page + pages; k++) sum += memory.bytes[k * pageSize()]!;
    expected.push([page, pages, isPresent ? PAGE.present : 0]);
    page += pages;
  }
  const { address, length } = memory;
  const found = runsOf({ address, length, returned: PAGE.present });
  assertEquals(sum, 0);
  assertEquals(found.length, expected.length);
  assertEquals(found.findIndex((run, i) => `${run}` !== `${expected[i]}`), -1);
});

pagemapTest("scanPages() can be called from its callback", () => {
  using memory = mapPages(3);
  memory.bytes[0] = 1;
  memory.bytes[2 * pageSize()] = 1;
  const { address, length } = memory;
  const scan = { address, length, mask: PAGE.present };
  const pagemap = openPagemap();
  const found: number[][] = [];
  scanPages(pagemap, scan, (offset) => {
    scanPages(pagemap, scan, (inner) => found.push([offset, inner]));
  });
  closeDescriptor(pagemap);
  const last = 2 * pageSize();
  assertEquals(found, [[0, 0], [0, last], [last, 0], [last, last]]);
});

pagemapTest("scanPages() throws what the kernel says", () => {
  using memory = mapPages(1);
  const { address, length } = memory;
  const cases: [PageScan, string][] = [
    [{ address: address + 1, length }, "EINVAL"],
    [{ address, length, mask: 1 << 30 }, "EINVAL"],
    [{ address, length, flags: 1 << 30 }, "EINVAL"],
    [{ address, length, flags: SCAN.protect | SCAN.checkProtection }, "EPERM"],
  ];
  for (const [scan, code] of cases) {
    const error = assertThrows(() => runsOf(scan), SystemError);
    assertEquals([error.call, error.code], ["ioctl", code]);
  }
  const error = assertThrows(() => scanPages(-1, { address, length }), SystemError);
  assertEquals(error.code, "EBADF");
});
