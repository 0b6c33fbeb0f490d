import { assert, assertEquals } from "@std/assert";
import { closeDescriptor } from "../../../ffi/descriptor.ts";
import { makeEventFd } from "../../../ffi/event_fd.ts";
import { setFileLength } from "../../../ffi/file_space.ts";
import { createMemfd } from "../../../ffi/memfd.ts";
import { waitForInput } from "../../../ffi/poll.ts";
import {
  FAULTS_OF,
  openWriteFaults,
  protectRegistered,
  registerMemory,
} from "../../../ffi/userfaultfd.ts";
import {
  PageSaver,
  type SavedRange,
  type SaverMessage,
} from "../../../src/snapshot/running/page_saver.ts";
import { mapPages } from "../../support/mapped_pages.ts";
import { lazyTest, PAGE, pause } from "../lazy/lazy_memory.ts";
import { scratchFile } from "../memories.ts";

// What the writer writes, and what each page has before.
const WRITTEN = 0xff;
const before = (page: number) => page % 100 + 1;

/** Pages, as numbers of them. */
interface Part {
  readonly first: number;
  readonly length: number;
  /** The first page of each run, and how many. */
  readonly runs: readonly number[];
}

// Saves parts of a memory while another thread waits to write to some of its pages.
async function saved(
  pages: number,
  parts: readonly Part[],
  written: readonly number[],
  onMessage: (message: SaverMessage, stop: () => void, memory: Uint8Array) => void = () => {},
  isStopped = false,
) {
  using memory = mapPages(pages);
  const { address, length, bytes } = memory;
  for (let page = 0; page < pages; page++) {
    bytes.fill(before(page), page * PAGE, (page + 1) * PAGE);
  }
  using file = scratchFile();
  using resources = new DisposableStack();
  const userfaultfd = resources.adopt(openWriteFaults(true), closeDescriptor);
  const event = resources.adopt(makeEventFd(0, false), closeDescriptor);
  registerMemory(userfaultfd, address, length, FAULTS_OF.write);
  protectRegistered(userfaultfd, address, length);
  const library = Deno.dlopen("libc.so.6", {
    memset: { parameters: ["usize", "i32", "usize"], result: "void", nonblocking: true },
  });
  resources.defer(() => library.close());
  const writing = written.map((page) => {
    return library.symbols.memset(BigInt(address + page * PAGE), WRITTEN, 1n);
  });
  waitForInput([userfaultfd, event], 5000);
  await pause(50);
  const stop = new SharedArrayBuffer(4);
  const end = () => Atomics.store(new Int32Array(stop), 0, 1);
  if (isStopped) end();
  const setup = { userfaultfd, file: file.fd, pageSize: PAGE, skipsZeros: false, stop };
  const messages: SaverMessage[] = [];
  const ranges = parts.map(({ first, length, runs }): SavedRange => {
    const position = first * PAGE;
    const own = Float64Array.from(runs, (page) => page * PAGE);
    return { address: address + position, length: length * PAGE, position, runs: own };
  });
  new PageSaver(setup).save(ranges, (message) => {
    messages.push(message);
    onMessage(message, end, bytes);
  });
  await Promise.all(writing);
  assertEquals(written.map((page) => bytes[page * PAGE]), written.map(() => WRITTEN));
  return { messages, content: file.content };
}

function assertPages(content: Uint8Array, expected: readonly number[]): void {
  const found = expected.map((_, page) => content[page * PAGE] ?? 0);
  assertEquals(found, expected);
}

lazyTest("a page is saved before it is written, where one range follows the other", async () => {
  const parts = [{ first: 0, length: 20, runs: [0, 20] }, { first: 20, length: 20, runs: [0, 20] }];
  const { messages, content } = await saved(40, parts, [20, 39, 0]);
  assertEquals(messages, [{ kind: "saved", written: 40 * PAGE }]);
  assertPages(content, Array.from({ length: 40 }, (_, page) => before(page)));
});

lazyTest("nothing is saved of what is in no run, or beyond the end of a range", async () => {
  const parts = [{ first: 0, length: 4.5, runs: [0, 1, 3, 1.5] }];
  const { messages, content } = await saved(6, parts, [1, 2]);
  assertEquals(messages, [{ kind: "saved", written: 2.5 * PAGE }]);
  assertPages(content, [before(0), 0, 0, before(3), before(4), 0]);
  assertEquals(content.length, 4.5 * PAGE);
});

lazyTest("pages that somebody waits for come first, and their writers go on", async () => {
  const pages = 2 ** 25 / PAGE;
  const [hole, last] = [pages - 2, pages - 1];
  const parts = [
    { first: 0, length: hole, runs: [0, hole] },
    { first: hole, length: 2, runs: [1, 1] },
  ];
  let hasContinued = false;
  const { messages, content } = await saved(pages, parts, [hole, last], (message, stop, bytes) => {
    if (message.kind !== "progress") return;
    stop();
    const end = performance.now() + 5000;
    while (!hasContinued && performance.now() < end) {
      hasContinued = bytes[hole * PAGE] === WRITTEN && bytes[last * PAGE] === WRITTEN;
    }
  });
  assert(hasContinued);
  assertEquals(messages.map(({ kind }) => kind), ["progress", "stopped"]);
  assertEquals(content[last * PAGE], before(last));
});

lazyTest(
  "waiting writers are woken when saving is stopped, at the end of a range too",
  async () => {
    const parts = [{ first: 0, length: 2.5, runs: [0, 2.5] }];
    const { messages, content } = await saved(3, parts, [0, 2], undefined, true);
    assertEquals([messages, content.length], [[{ kind: "stopped" }], 0]);
  },
);

lazyTest("memory that cannot be read is an error, and no end of the process", () => {
  const request = { name: "test", size: 2 * PAGE, hugePages: undefined, seal: false };
  using resources = new DisposableStack();
  const memfd = resources.adopt(createMemfd(request), closeDescriptor);
  const userfaultfd = resources.adopt(openWriteFaults(true), closeDescriptor);
  using memory = mapPages(2, { fd: memfd });
  using file = scratchFile();
  const { address, length } = memory;
  registerMemory(userfaultfd, address, length, FAULTS_OF.write);
  setFileLength(memfd, PAGE);
  for (const skipsZeros of [true, false]) {
    const stop = new SharedArrayBuffer(4);
    const saver = new PageSaver({ userfaultfd, file: file.fd, pageSize: PAGE, skipsZeros, stop });
    const errors: unknown[] = [];
    saver.save([{ address, length, position: 0, runs: Float64Array.of(0, length) }], (message) => {
      errors.push(message.kind === "failed" && (message.error as { code: string }).code);
    });
    assertEquals(errors, ["EFAULT"]);
  }
});
