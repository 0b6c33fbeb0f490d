import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Backing, GuestAddress, GuestMemoryMmap, pageSize } from "@vmm/guest-memory";
import { type Sweep, Sweeper } from "../../../examples/introspect/sweeper.ts";
import { PageState } from "../../../examples/view/page_runs.ts";

const IS_LINUX = Deno.build.os === "linux";
const PAGE = IS_LINUX ? pageSize() : 4096;
const PAGES = 96;

function memoryWithHole(): GuestMemoryMmap {
  return GuestMemoryMmap.fromRanges([
    [GuestAddress(0), 64 * PAGE],
    [GuestAddress(2 ** 32), 32 * PAGE],
  ], { backing: Backing.memfd() });
}

function addressOf(page: number): GuestAddress {
  return GuestAddress(page < 64 ? page * PAGE : 2 ** 32 + (page - 64) * PAGE);
}

function pagesIn({ runs }: Sweep, state: PageState): number[] {
  return runs.filter((run) => run.state === state)
    .flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i))
    .sort((a, b) => a - b);
}

Deno.test({
  name: "Sweeper.sweep() sees what was changed, and what was given back",
  ignore: !IS_LINUX,
  fn: async () => {
    using memory = memoryWithHole();
    using sweeper = new Sweeper(memory, PAGE, 2);
    assertEquals(sweeper.pages.count, PAGES);
    memory.writeSlice(Uint8Array.of(1), addressOf(3));
    memory.writeSlice(Uint8Array.of(1), addressOf(64));
    const first = await sweeper.sweep();
    // There is nothing to compare with.
    assertEquals([first.resident, first.changed], [2, 0]);
    assertEquals(pagesIn(first, PageState.present), [3, 64]);
    const present = new Set([3, 64]);
    const step = fc.record({
      writes: fc.uniqueArray(fc.tuple(fc.nat(PAGES - 1), fc.nat(PAGE - 1)), { maxLength: 12 }),
      discarded: fc.uniqueArray(fc.nat(PAGES - 1), { maxLength: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(step, async ({ writes, discarded }) => {
        const gone = discarded.filter((page) =>
          present.has(page) && writes.every(([written]) => written !== page)
        );
        for (const page of gone) {
          memory.discard(addressOf(page), PAGE);
          present.delete(page);
        }
        const written = new Set<number>();
        for (const [page, offset] of writes) {
          const at = GuestAddress(addressOf(page) + offset);
          const byte = new Uint8Array(1);
          memory.readSlice(byte, at);
          // A page that is written for the first time changes, also if its bytes were those.
          memory.writeSlice(Uint8Array.of(byte[0]! + 1), at);
          written.add(page);
          present.add(page);
        }
        const sweep = await sweeper.sweep();
        assertEquals(pagesIn(sweep, PageState.guest), [...written].sort((a, b) => a - b));
        assertEquals(pagesIn(sweep, PageState.absent), gone.sort((a, b) => a - b));
        assertEquals([sweep.changed, sweep.resident], [written.size, present.size]);
      }),
      { numRuns: 40 },
    );
  },
});

Deno.test({
  name: "Sweeper.sweep() takes no page of memory that is not there",
  ignore: !IS_LINUX,
  fn: async () => {
    using memory = memoryWithHole();
    memory.writeSlice(Uint8Array.of(1), addressOf(5));
    using sweeper = new Sweeper(memory, PAGE, 2);
    for (let i = 0; i < 3; i++) await sweeper.sweep();
    assertEquals(memory.residentRanges(), [[addressOf(5), PAGE]]);
    const { milliseconds, at } = await sweeper.sweep();
    assert(milliseconds >= 0 && Number.isInteger(at) && at <= sweeper.now());
  },
});
