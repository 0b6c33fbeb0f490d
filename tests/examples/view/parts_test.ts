import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { GuestAddress, GuestMemoryHeap } from "@vmm/guest-memory";
import { Cells, NOTHING } from "../../../examples/view/page/cells.ts";
import { MapLayout, type Region } from "../../../examples/view/page/map_layout.ts";
import { Palette } from "../../../examples/view/page/palette.ts";
import { address, size } from "../../../examples/view/page/texts.ts";
import { PageMap } from "../../../examples/view/page_map.ts";
import { PageNumbers, type PageRun, PageState } from "../../../examples/view/page_runs.ts";
import { decodeRuns, encodeRuns } from "../../../examples/view/wire.ts";

const PAGES = 100;
const REGIONS: readonly Region[] = [[0, 37, 0], [37, 63, 2 ** 32]];

const run: fc.Arbitrary<PageRun> = fc.tuple(
  fc.nat(PAGES - 1),
  fc.integer({ min: 1, max: 20 }),
  fc.constantFrom<PageState>(0, 1, 2, 3),
).map(([first, count, state]) => ({ first, count: Math.min(count, PAGES - first), state }));
const changes = fc.array(fc.array(run, { maxLength: 4 }), { maxLength: 12 });

Deno.test("PageMap.runs() is what was applied, and makes the same map", () => {
  fc.assert(fc.property(changes, (changes) => {
    const map = new PageMap(PAGES);
    changes.forEach((runs, i) => map.apply(runs, i + 1));
    const other = new PageMap(PAGES);
    const message = { kind: 1, at: 9, microseconds: 7, resident: 3, changed: 2 };
    const decoded = decodeRuns(encodeRuns({ ...message, runs: [...map.runs()] }));
    assertEquals({ ...decoded, runs: [] }, { ...message, runs: [] });
    for (const run of decoded.runs) other.apply([run], run.at);
    assertEquals(other.states, map.states);
    for (let page = 0; page < PAGES; page++) {
      if (map.states[page] !== PageState.absent) {
        assertEquals(other.changedAt[page], map.changedAt[page]);
      }
    }
  }));
});

Deno.test("decodeRuns() refuses bytes that are no message", () => {
  for (const length of [0, 4, 16, 24, 32]) {
    assertThrows(() => decodeRuns(new ArrayBuffer(length)), RangeError, `${length} bytes`);
  }
});

Deno.test("Cells shows what a look at every page shows, at each level", () => {
  fc.assert(fc.property(
    changes,
    fc.constantFrom(1, 4, 16),
    fc.nat(6),
    (changes, columns, level) => {
      const map = new PageMap(PAGES);
      const layout = new MapLayout(REGIONS, columns, level);
      const cells = new Cells(layout, map);
      changes.forEach((runs, i) => {
        map.apply(runs, i + 1);
        cells.forget(runs);
        cells.look(0, layout.cells);
        for (let cell = 0; cell < layout.cells; cell++) assertCell(cells, cell, map);
      });
    },
  ));
});

function assertCell(cells: Cells, cell: number, { states, changedAt }: PageMap): void {
  const [first, end] = cells.layout.pagesOf(cell);
  const pages = Array.from({ length: end - first }, (_, i) => first + i);
  const changed = pages.filter((page) => states[page]! >= PageState.guest);
  const present = pages.filter((page) => states[page] !== PageState.absent);
  const newest = Math.max(0, ...changed.map((page) => changedAt[page]!));
  if (pages.length === 0) assertEquals(cells.states[cell], NOTHING);
  else if (changed.length > 0) {
    assertEquals(cells.changedAt[cell], newest);
    assertEquals(changedAt[cells.pageOf(cell)!], newest);
    const states_ = changed.filter((page) => changedAt[page] === newest).map((page) =>
      states[page]
    );
    assert(states_.includes(cells.states[cell]!));
  } else {
    assertEquals(cells.states[cell], present.length > 0 ? PageState.present : PageState.absent);
    if (present.length > 0) assert(present.includes(cells.pageOf(cell)!));
  }
  assertEquals(cells.filled[cell]! > 0, present.length > 0);
  assertEquals(cells.filled[cell] === 255, present.length === pages.length && present.length > 0);
}

Deno.test("MapLayout has each page in one cell, and regions begin with rows", () => {
  fc.assert(fc.property(fc.constantFrom(1, 4, 16), fc.nat(9), (columns, level) => {
    const layout = new MapLayout(REGIONS, columns, level);
    let next = 0;
    for (let cell = 0; cell < layout.cells; cell++) {
      const [first, end] = layout.pagesOf(cell);
      if (first === end) continue;
      assertEquals(first, next);
      for (let page = first; page < end; page++) assertEquals(layout.cellOf(page), cell);
      next = end;
    }
    assertEquals(next, PAGES);
    const row = Math.floor(layout.cellOf(37) / columns);
    assertEquals(layout.cellOf(37) % columns, 0);
    assert(layout.beginsRegion(row));
    assertEquals(layout.placeOfRow(row), { region: REGIONS[1], address: 0 });
    assertEquals(layout.placeOfRow(layout.rows), undefined);
  }));
});

Deno.test("PageNumbers counts pages without the holes", () => {
  const memory = GuestMemoryHeap.fromRanges([
    [GuestAddress(0x1000), 2 * 4096 + 100],
    [GuestAddress(2 ** 32), 3 * 4096],
  ]);
  const pages = new PageNumbers(memory, 4096);
  assertEquals(pages.count, 5);
  assertEquals([0, 1, 2, 4].map((page) => pages.addressOf(page)), [
    0x1000,
    0x2000,
    2 ** 32,
    2 ** 32 + 2 * 4096,
  ]);
  assertEquals(
    [0, 0xfff, 0x1000, 0x2fff, 0x3000, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 3 * 4096].map((address) =>
      pages.pageAt(address)
    ),
    [undefined, undefined, 0, 1, undefined, undefined, 2, undefined],
  );
});

Deno.test("Palette gives an older change another colour, and each writer its own", () => {
  for (const isDark of [true, false]) {
    const palette = new Palette(isDark);
    const colours = [0, 200, 1000, 10_000, 60_000].map((age) =>
      palette.colour(PageState.guest, age, 255)
    );
    assertEquals(new Set(colours).size, colours.length);
    assertEquals(palette.colour(PageState.guest, 1e9, 255), colours.at(-1));
    assert(palette.colour(PageState.host, 0, 255) !== colours[0]);
    assert(palette.colour(PageState.present, 0, 1) !== palette.colour(PageState.absent, 0, 0));
  }
});

Deno.test("texts of the page are short", () => {
  assertEquals([0, 0xfff, 0x1_0000, 2 ** 32].map(address), [
    "0x0",
    "0xfff",
    "0x1_0000",
    "0x1_0000_0000",
  ]);
  assertEquals([4096, 2 ** 21, 1.5 * 2 ** 30].map(size), ["4 KiB", "2 MiB", "1.5 GiB"]);
});
