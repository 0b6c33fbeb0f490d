import { assert, assertEquals } from "@std/assert";
import { closeDescriptor } from "../../../ffi/descriptor.ts";
import { makeEventFd } from "../../../ffi/event_fd.ts";
import { FAULTS_OF, openMissingPages, registerMemory } from "../../../ffi/userfaultfd.ts";
import { FileOffset } from "../../../mod.ts";
import { LoadState } from "../../../src/snapshot/lazy/load_state.ts";
import {
  type LoaderMessage,
  type LoaderSetup,
  PageLoader,
} from "../../../src/snapshot/lazy/page_loader.ts";
import { MappedFile } from "../../../src/snapshot/lazy/mapped_file.ts";
import { mapPages } from "../../support/mapped_pages.ts";
import { contentOf, lazyTest, PAGE, snapshotOf } from "./lazy_memory.ts";

// Serves until all is loaded, or a page cannot be.
async function serve(
  pages: number,
  { prepare = () => {}, ...setup }:
    & Pick<LoaderSetup, "userfaultfd" | "ranges">
    & Partial<LoaderSetup>
    & { prepare?: (state: LoadState) => void },
) {
  const length = pages * PAGE;
  using snapshot = await snapshotOf([[0, length]], () => true);
  using source = new MappedFile(new FileOffset(snapshot.file).fd, length);
  using resources = new DisposableStack();
  const wake = resources.adopt(makeEventFd(0, false), closeDescriptor);
  const state = LoadState.create(pages, setup.ranges.length, false);
  prepare(state);
  const messages: LoaderMessage[] = [];
  const loader = new PageLoader({
    ...{ thread: state.nextThread(), state: state.handle, wake, length, pageSize: PAGE },
    ...{ source: source.address, file: source.holes, workingSet: [], prefetch: true, ...setup },
  }, (message) => {
    if (message.kind === "progress") return;
    messages.push(message);
    // It stops.
    state.nextThread();
  });
  loader.run();
  return { state, messages };
}

// Serves by a descriptor of another kind, which refuses all.
async function serveRefused(prepare?: (state: LoadState) => void) {
  using resources = new DisposableStack();
  const userfaultfd = resources.adopt(makeEventFd(0, false), closeDescriptor);
  const ranges = [{ address: PAGE, length: 4 * PAGE, position: 0 }];
  return await serve(4, { userfaultfd, ranges, ...prepare && { prepare } });
}

const FAILED = { kind: "failed", reason: "the kernel refuses with ENOTTY" } as const;

lazyTest("a page that the kernel refuses to load does not count as loaded", async () => {
  const begin = performance.now();
  const { state, messages } = await serveRefused();
  // It waits for a second before it would try again.
  assert(performance.now() - begin >= 900);
  assertEquals(messages, [{ ...FAILED, position: 0 }]);
  assertEquals([state.left, state.faults], [4, 0]);
});

lazyTest("a discard that the thread before has read, and not noted, is noted", async () => {
  const { state, messages } = await serveRefused((state) => {
    // struct uffd_msg of linux/userfaultfd.h: UFFD_EVENT_REMOVE, and the first two pages of the memory.
    state.messages.set([0x15, 0, PAGE, 0, 3 * PAGE, 0]);
    state.unread = 1;
  });
  assertEquals(messages, [{ ...FAILED, position: 2 * PAGE }]);
  assertEquals([state.left, state.unread], [2, 0]);
  assertEquals([0, 1, 2, 3].map((page) => state.done.has(page)), [true, true, false, false]);
});

// Serves memory of 60 pages in three parts. What follows in the file does not follow in memory.
async function servedParts(setup: Pick<Parameters<typeof serve>[1], "workingSet" | "prepare">) {
  const parts = [0, 2, 1];
  using memory = mapPages(60);
  using resources = new DisposableStack();
  const userfaultfd = resources.adopt(openMissingPages(true).fd, closeDescriptor);
  registerMemory(userfaultfd, memory.address, memory.length, FAULTS_OF.missing);
  const ranges = parts.map((part, index) => {
    const [length, position] = [20 * PAGE, 20 * PAGE * index];
    return { address: memory.address + 20 * PAGE * part, length, position };
  });
  const { messages } = await serve(60, { userfaultfd, ranges, ...setup });
  assertEquals(messages, [{ kind: "loaded" }]);
  // What is missing reads zero then.
  resources.dispose();
  const words = new BigUint64Array(memory.bytes.slice().buffer);
  return Array.from({ length: 60 }, (_, page) => {
    return words[(parts[Math.floor(page / 20)]! * 20 + page % 20) * PAGE / 8]!;
  });
}

const CONTENT = Array.from({ length: 60 }, (_, page) => contentOf(page * PAGE));

lazyTest("pages of the working set that several ranges have go to each of them", async () => {
  assertEquals(await servedParts({ workingSet: [[15, 30]] }), CONTENT);
});

lazyTest("nothing of a range is loaded that was dropped", async () => {
  for (const workingSet of [[], [[15, 30]]] as const) {
    const found = await servedParts({ workingSet, prepare: (state) => state.drop(1) });
    assertEquals(found, CONTENT.toSpliced(20, 20, ...Array(20).fill(0n)));
  }
});
