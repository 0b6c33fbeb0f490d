import { assertEquals, assertMatch } from "@std/assert";
import { AtomicBitmap, GuestAddress, GuestMemoryMmap, pageSize } from "@vmm/guest-memory";
import { PageState } from "../../../examples/view/page_runs.ts";
import type { SourceChange } from "../../../examples/view/source.ts";
import { TrackedSource } from "../../../examples/view/tracked_source.ts";

const IS_LINUX = Deno.build.os === "linux";
const PAGE = IS_LINUX ? pageSize() : 4096;

Deno.test({
  name: "TrackedSource says who wrote a page, also across regions that adjoin",
  ignore: !IS_LINUX,
  fn: async () => {
    using memory = GuestMemoryMmap.fromRanges([
      [GuestAddress(0), 4 * PAGE],
      [GuestAddress(4 * PAGE), 4 * PAGE],
      [GuestAddress(2 ** 32), 2 * PAGE],
    ], { bitmap: (length) => new AtomicBitmap(length, PAGE) });
    memory.writeSlice(Uint8Array.of(1), GuestAddress(PAGE));
    const mark = (address: number) => memory.getSlice(GuestAddress(address), 1).markDirty(0, 1);
    let looks = 0;
    const changes: SourceChange[] = [];
    const marks: string[] = [];
    const errors: unknown[] = [];
    const { promise: isDone, resolve } = Promise.withResolvers<void>();
    await using source = new TrackedSource({
      title: "",
      about: "",
      memory,
      pageSize: PAGE,
      // As KVM's log does: what the guest wrote is marked.
      collect() {
        if (looks === 2) {
          for (const address of [3 * PAGE, 4 * PAGE, 2 ** 32 + PAGE]) mark(address);
        }
      },
      step() {
        looks++;
        if (looks === 2) memory.writeSlice(new Uint8Array(2), GuestAddress(6 * PAGE - 1));
        return Promise.resolve();
      },
      onError: (error) => errors.push(error),
    });
    const stop = source.watch({
      changed(change) {
        changes.push(change);
        if (changes.length === 3) resolve();
      },
      marked: ({ text }) => marks.push(text),
      ended: (reason) => marks.push(reason),
    });
    source.mark("a moment");
    await isDone;
    stop();
    source.mark("nobody looks");
    const [first, second, third] = changes;
    assertEquals(first!.runs, [
      { first: 1, count: 1, state: PageState.present },
      { first: 1, count: 1, state: PageState.host },
    ]);
    assertEquals(second!.runs, [
      { first: 3, count: 1, state: PageState.guest },
      { first: 4, count: 1, state: PageState.guest },
      { first: 9, count: 1, state: PageState.guest },
      { first: 5, count: 2, state: PageState.host },
    ]);
    assertEquals([second!.changed, second!.resident], [5, 3]);
    assertEquals(third!.runs, []);
    assertEquals(marks, ["a moment"]);
    assertEquals(errors, []);
  },
});

Deno.test({
  name: "TrackedSource reports what a look throws, and stops",
  ignore: !IS_LINUX,
  fn: async () => {
    using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), PAGE]]);
    const { promise, resolve } = Promise.withResolvers<unknown>();
    await using source = new TrackedSource({
      title: "",
      about: "",
      memory,
      pageSize: PAGE,
      collect() {
        throw new Error("the log is gone");
      },
      onError: resolve,
    });
    source.watch({ changed() {}, marked() {}, ended() {} });
    assertMatch(String(await promise), /the log is gone/);
  },
});
