import { assertEquals } from "@std/assert";
import { GuestAddress, GuestMemoryMmap, u8 } from "@vmm/guest-memory";
import fc from "fast-check";
import { drawHalves, drawPages } from "../../../examples/lib/page_picture.ts";
import { painter } from "../../../examples/lib/terminal.ts";
import { shortDuration } from "../../../examples/lib/units.ts";
import type { Counting } from "../../../examples/snapshot_story/counter.ts";
import { KvmCounting } from "../../../examples/snapshot_story/kvm_counting.ts";
import { contentsOf, pagesIn } from "../../../examples/snapshot_story/pages.ts";
import { play, type Story } from "../../../examples/snapshot_story/story.ts";
import { problemsOf } from "../../../examples/snapshot_story/text.ts";
import { WorkerCounting } from "../../../examples/snapshot_story/worker_counting.ts";
import { kvmTest } from "../microvm/kvm_guest.ts";

const PAGE = 4096;
const ONLY_LINUX = { ignore: Deno.build.os !== "linux" };
const plain = painter(false);

async function assertPlays(counting: Counting): Promise<void> {
  const story = await play(counting, 3);
  assertEquals([story.base.count, story.later.count, story.snapshotCount], [24, 40, 40]);
  assertEquals(problemsOf(story), []);
  // The counter is in page 2; count n writes page 64 + n.
  const counted = (from: number, to: number) =>
    new Set([2, ...Array.from({ length: to - from }, (_, i) => 64 + from + 1 + i)]);
  assertEquals(story.later.dirty, counted(24, 40));
  assertEquals(story.diff.written, 17 * PAGE);
  story.clones.forEach(({ own, count, due }, i) => {
    assertEquals([count, due], [42 + 2 * i, 42 + 2 * i]);
    assertEquals(own, counted(40, 42 + 2 * i));
  });
  const there = story.base.contents.filter((content) => content !== "absent").length;
  assertEquals(story.full.written, there * PAGE);
  const zeros = story.base.contents.filter((content) => content === "zero").length;
  assertEquals([zeros, story.full.written - story.withoutZeros.written], [6, 6 * PAGE]);
}

kvmTest("play() has a guest on KVM write, and each of its clones, what was counted", async () => {
  await using counting = new KvmCounting("/dev/kvm");
  await assertPlays(counting);
});

Deno.test("play() has a Worker write, and each clone, what was counted", ONLY_LINUX, async () => {
  await using counting = new WorkerCounting();
  await assertPlays(counting);
});

Deno.test("problemsOf() finds a clone and a snapshot that have not the right count", () => {
  const story = {
    clones: [{ count: 42, due: 42 }, { count: 43, due: 44 }],
    later: { count: 40 },
    snapshotCount: 41,
  } as unknown as Story;
  assertEquals(problemsOf(story), [
    "clone 2 has counted to 43, not 44",
    "the snapshot has counted to 41, not 40",
  ]);
});

Deno.test("contentsOf() has what is in each page, and touches none", ONLY_LINUX, () => {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 4 * PAGE]]);
  memory.writeObj(u8, 0, GuestAddress(PAGE));
  memory.writeObj(u8, 1, GuestAddress(3 * PAGE - 1));
  for (let i = 0; i < 2; i++) {
    assertEquals(contentsOf(memory), ["absent", "zero", "data", "absent"]);
  }
});

Deno.test("pagesIn() has each page that a run has a byte of", () => {
  const run = fc.tuple(fc.nat(6 * PAGE), fc.integer({ min: 1, max: 3 * PAGE }));
  fc.assert(
    fc.property(fc.array(run, { maxLength: 4 }), (runs) => {
      const isIn = (page: number) =>
        runs.some(([start, length]) => start < (page + 1) * PAGE && start + length > page * PAGE);
      const expected = Array.from({ length: 10 }, (_, page) => page).filter(isIn);
      assertEquals([...pagesIn(runs)].toSorted((a, b) => a - b), expected);
    }),
  );
});

Deno.test("drawPages() has a line for each row, the last one shorter", () => {
  const pages = { count: 5, size: 0x1000, columns: 3 };
  const look = (page: number) => ({ glyph: "abcde".charAt(page), style: "red" as const });
  assertEquals(drawPages(pages, look, plain), ["     0x0 abc", "  0x3000 de"]);
  assertEquals(
    drawPages(pages, look, painter(true))[1],
    "\x1b[2m  0x3000\x1b[22m \x1b[31mde\x1b[39m",
  );
});

Deno.test("drawHalves() has two rows in one", () => {
  const marked = new Set([1, 3, 6, 7]);
  assertEquals(drawHalves(4, (page) => marked.has(page), plain), ["·▀▄█"]);
});

Deno.test("drawPages() and drawHalves() have shorter lines where there is less room", () => {
  const pages = { count: 32, size: 0x1000, columns: 32 };
  const look = (page: number) => ({ glyph: (page % 10).toString(), style: "plain" as const });
  assertEquals(drawPages(pages, look, plain, 26).map((line) => line.length), [25, 25]);
  assertEquals(drawPages(pages, look, plain, 1).map((line) => line.slice(9)), [
    "01234567",
    "89012345",
    "67890123",
    "45678901",
  ]);
  const marked = new Set([0, 15, 31]);
  assertEquals(drawHalves(16, (page) => marked.has(page), plain, 15), ["▀·······", "·······█"]);
});

Deno.test("shortDuration() changes its unit where rounding does", () => {
  assertEquals([0.0634, 0.9994, 0.9996, 4.21, 1500].map(shortDuration), [
    "63 µs",
    "999 µs",
    "1.0 ms",
    "4.2 ms",
    "1.50 s",
  ]);
});
