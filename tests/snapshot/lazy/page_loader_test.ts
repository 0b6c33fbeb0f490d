import { assertEquals } from "@std/assert";
import { closeDescriptor } from "../../../ffi/descriptor.ts";
import { makeEventFd } from "../../../ffi/event_fd.ts";
import { FileOffset } from "../../../mod.ts";
import { LoadState } from "../../../src/snapshot/lazy/load_state.ts";
import { type LoaderMessage, PageLoader } from "../../../src/snapshot/lazy/page_loader.ts";
import { SourceFile } from "../../../src/snapshot/lazy/source_file.ts";
import { lazyTest, PAGE, snapshotOf } from "./lazy_memory.ts";

lazyTest("a page that the kernel refuses to load does not count as loaded", async () => {
  const length = 4 * PAGE;
  using snapshot = await snapshotOf([[0, length]], () => true);
  using source = new SourceFile(new FileOffset(snapshot.file).fd, length);
  using resources = new DisposableStack();
  const wake = resources.adopt(makeEventFd(0, false), closeDescriptor);
  // A descriptor of another kind refuses all.
  const userfaultfd = resources.adopt(makeEventFd(0, false), closeDescriptor);
  const state = LoadState.create(4, 1, false);
  const messages: LoaderMessage[] = [];
  const loader = new PageLoader({
    ...{ thread: state.nextThread(), state: state.handle, userfaultfd, wake },
    ...{ source: source.address, file: source.holes, length, pageSize: PAGE },
    ...{ ranges: [{ address: PAGE, length, position: 0 }], workingSet: [], prefetch: true },
  }, (message) => {
    if (message.kind === "progress") return;
    messages.push(message);
    // It stops.
    state.nextThread();
  });
  loader.run();
  const reason = "the kernel refuses with ENOTTY";
  assertEquals(messages, [{ kind: "failed", position: 0, reason }]);
  assertEquals([state.left, state.faults], [4, 0]);
});
