import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { fileCalls } from "../../../ffi/libc.ts";
import { openUserfaultfd } from "../../../ffi/userfaultfd.ts";
import {
  closeDescriptor,
  EventFd,
  FileOffset,
  type GuestMemoryMmap,
  MemoryClosed,
  SystemError,
  u64,
  UnixSocket,
} from "../../../mod.ts";
import {
  FaultHandler,
  type FaultRange,
  FaultServer,
  PageLoadFailed,
  SnapshotMismatch,
  SnapshotRefused,
} from "../../../src/snapshot/mod.ts";
import { NOT_OPEN, openDescriptors } from "../../support/descriptors.ts";
import { open, pipe } from "../../support/posix.ts";
import { until } from "../../support/until.ts";
import { gpa } from "../../support/values.ts";
import {
  busyFor,
  contentOf,
  lazyTest,
  PAGE,
  pause,
  snapshotOf,
  wrongPages,
} from "./lazy_memory.ts";
import { restoreElsewhere, serveElsewhere, untilLoaded } from "./lazy_process.ts";

const START = 16 * PAGE;
const RANGES = [[START, 3000 * PAGE + 24], [2 ** 32, 40 * PAGE]] as const;
const SMALL = [[START, 300 * PAGE], [2 ** 32, 40 * PAGE]] as const;

// A thread that touches all pages, slowly. It waits for those that nobody loads.
function touchAll(memory: GuestMemoryMmap) {
  const url = new URL("slow_touching_worker.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" });
  const touched = new Int32Array(new SharedArrayBuffer(4));
  const { promise: wrong, resolve } = Promise.withResolvers<number[]>();
  worker.onmessage = ({ data }) => {
    worker.terminate();
    resolve(data);
  };
  worker.postMessage({ handle: memory.share(), touched });
  return { wrong, touched: () => Atomics.load(touched, 0) };
}

let warmedUp: Promise<void> | undefined;

// What a process opens for its first Worker and its first wait for a socket stays open.
async function settledDescriptors(): Promise<number> {
  warmedUp ??= (async () => {
    using snapshot = await snapshotOf(SMALL);
    using memory = snapshot.restore({ thread: false });
    await using _other = await serveElsewhere(FaultHandler.of(memory), snapshot);
    await touchAll(memory).wrong;
  })();
  await warmedUp;
  await pause(50);
  return openDescriptors();
}

// Lets processes serve that are killed at random points, while a thread touches pages.
async function killSome(
  handler: FaultHandler,
  snapshot: Awaited<ReturnType<typeof snapshotOf>>,
  prefetch: boolean,
): Promise<void> {
  for (let kills = 0; kills < 3; kills++) {
    await using other = await serveElsewhere(handler, snapshot, { prefetch });
    await pause(Math.random() * 40);
    await other.kill();
  }
}

for (const prefetch of [false, true]) {
  const how = prefetch ? "" : ", without prefetch";
  lazyTest(`a process that serves can be killed, and another one takes over${how}`, async () => {
    using snapshot = await snapshotOf(RANGES);
    const before = await settledDescriptors();
    {
      using memory = snapshot.restore({ thread: false, prefetch });
      const handler = FaultHandler.of(memory);
      const { wrong } = touchAll(memory);
      await killSome(handler, snapshot, prefetch);
      await using other = await serveElsewhere(handler, snapshot, { prefetch });
      assertEquals(await wrong, []);
      // A server without prefetch learns of no page that others have loaded.
      if (prefetch) await untilLoaded(other);
    }
    assert(await until(() => openDescriptors() <= before));
  });

  lazyTest(`restart() takes over from a process that was killed${how}`, async () => {
    using snapshot = await snapshotOf(RANGES);
    const before = await settledDescriptors();
    {
      using memory = snapshot.restore({ thread: false, prefetch });
      const handler = FaultHandler.of(memory);
      const { wrong } = touchAll(memory);
      await killSome(handler, snapshot, prefetch);
      handler.restart();
      assertEquals(await wrong, []);
      // What others have loaded counts when it is seen to be there.
      if (prefetch) await handler.done;
    }
    assert(await until(() => openDescriptors() <= before));
  });
}

lazyTest("what is discarded while another process serves reads zero", async () => {
  using snapshot = await snapshotOf([[START, 64 * PAGE]], () => true);
  using memory = snapshot.restore({ thread: false });
  await using other = await serveElsewhere(FaultHandler.of(memory), snapshot, { prefetch: false });
  assertEquals(memory.readObj(u64, gpa(START)), contentOf(START));
  memory.discard(gpa(START), 20 * PAGE);
  assertEquals(wrongPages(memory, (at) => at >= START + 20 * PAGE), []);
  await untilLoaded(other);
});

lazyTest("memory that is closed while another process serves leaves nothing behind", async () => {
  using snapshot = await snapshotOf(SMALL);
  const before = await settledDescriptors();
  {
    const memory = snapshot.restore({ thread: false });
    const handler = FaultHandler.of(memory);
    await using other = await serveElsewhere(handler, snapshot, { prefetch: false });
    memory.close();
    await assertRejects(() => handler.done, MemoryClosed);
    await other.kill();
  }
  assert(await until(() => openDescriptors() <= before));
});

lazyTest("a server whose memory's process has ended is over, and its thread rests", async () => {
  using snapshot = await snapshotOf(SMALL);
  const before = await settledDescriptors();
  for (const prefetch of [true, false]) {
    const other = await restoreElsewhere(snapshot);
    await other.kill();
    {
      using server = new FaultServer(other.fd, other.ranges, snapshot.file, { prefetch });
      closeDescriptor(other.fd);
      if (prefetch) await assertRejects(() => server.done, MemoryClosed, "has ended");
      else assertEquals(server.progress.bytes, 0);
      assertEquals(server.faults, 0);
      // The thread has started.
      await pause(200);
      assert(await busyFor(300) < 150, "the thread does not rest");
    }
  }
  assert(await until(() => openDescriptors() <= before));
});

lazyTest("a fault outside of the ranges is reported, and another server answers it", async () => {
  using snapshot = await snapshotOf(SMALL);
  using memory = snapshot.restore({ thread: false });
  const handler = FaultHandler.of(memory);
  const { wrong } = touchAll(memory);
  {
    using server = new FaultServer(handler.fd, handler.ranges.slice(0, 1), snapshot.file);
    const rejected = until(() => false, 0.3).then(() => server.done);
    await rejected.catch((error) => assert(error instanceof PageLoadFailed, `${error}`));
    assert(await busyFor(300) < 150, "the thread does not rest");
    assertEquals(server.progress.bytes > 0, true);
  }
  handler.restart();
  assertEquals(await wrong, []);
  await handler.done;
});

lazyTest("a server takes a descriptor that blocks", async () => {
  using snapshot = await snapshotOf(SMALL);
  using memory = snapshot.restore({ thread: false });
  const { fd, ranges } = FaultHandler.of(memory);
  // fcntl(2), F_SETFL: a read would block the thread, and poll(2) does not wait for such.
  fileCalls().control(fd, 4, 0);
  using server = new FaultServer(fd, ranges, snapshot.file);
  assertEquals(await touchAll(memory).wrong, []);
  await server.done;
});

lazyTest("a server loads ranges that have another order in the file than in memory", async () => {
  using snapshot = await snapshotOf([[START, 60 * PAGE]], () => true);
  using memory = snapshot.restore({ thread: false });
  const { fd, ranges } = FaultHandler.of(memory);
  const [{ hostAddress }] = ranges as [FaultRange];
  const order = [0, 2, 1];
  const parts = order.map((part, index): FaultRange => {
    const [len, offset] = [20 * PAGE, 20 * PAGE * index];
    return { hostAddress: hostAddress + offset, len, position: 20 * PAGE * part };
  });
  for (const prefetch of [false, true]) {
    using server = new FaultServer(fd, parts, snapshot.file, { prefetch });
    // The first page of each part, and all others.
    const pages = prefetch ? Array.from({ length: 60 }, (_, page) => page) : [40, 20, 0];
    for (const page of pages) {
      const inFile = order[Math.floor(page / 20)]! * 20 + page % 20;
      const found = memory.readObj(u64, gpa(START + page * PAGE));
      assertEquals(found, contentOf(START + inFile * PAGE));
    }
    if (prefetch) await server.done;
  }
});

lazyTest("FaultServer() refuses descriptors that get no faults", async () => {
  using snapshot = await snapshotOf(SMALL);
  using memory = snapshot.restore();
  const { ranges } = FaultHandler.of(memory);
  await FaultHandler.of(memory).done;
  const before = await settledDescriptors();
  {
    using zero = open("/dev/zero", "r");
    using event = new EventFd();
    using ends = pipe();
    const [socket, peer] = UnixSocket.pair();
    const fds = [zero.fd, event.fd, ends.reader, ends.writer, socket.fd];
    for (const fd of [...fds, new FileOffset(snapshot.file).fd]) {
      const error = assertThrows(() => new FaultServer(fd, ranges, snapshot.file), SystemError);
      assertEquals([error.call, error.code], ["ioctl", "ENOTTY"]);
    }
    socket.close();
    peer.close();
    const raw = openUserfaultfd(true);
    const error = assertThrows(() => new FaultServer(raw, ranges, snapshot.file), SystemError);
    assertEquals([error.call, error.code], ["ioctl", "EINVAL"]);
    closeDescriptor(raw);
    const none = assertThrows(() => new FaultServer(NOT_OPEN, ranges, snapshot.file), SystemError);
    assertEquals(none.code, "EBADF");
    for (const fd of [-1, 1.5, 2 ** 31, "1" as never]) {
      assertThrows(() => new FaultServer(fd, ranges, snapshot.file), RangeError);
    }
  }
  assert(openDescriptors() <= before);
});

lazyTest("FaultServer() refuses ranges that cannot be, and leaves nothing behind", async () => {
  using snapshot = await snapshotOf(SMALL);
  const memory = snapshot.restore({ thread: false });
  const { fd, ranges } = FaultHandler.of(memory);
  const before = await settledDescriptors();
  const serve = (...ranges: unknown[]) => {
    return () => new FaultServer(fd, ranges as FaultRange[], snapshot.file);
  };
  const [first, second] = ranges as [FaultRange, FaultRange];
  assertThrows(serve(), RangeError, "no range");
  for (const field of ["hostAddress", "len", "position"]) {
    for (const value of ["0", undefined, null, 4096n]) {
      assertThrows(serve({ ...first, [field]: value }), TypeError, field);
    }
    for (const value of [-PAGE, PAGE / 2, 0.5, NaN, Infinity]) {
      assertThrows(serve({ ...first, [field]: value }), RangeError, field);
    }
  }
  for (const range of [7, null, "range"]) assertThrows(serve(range), TypeError, "range");
  assertThrows(() => new FaultServer(fd, 7 as never, snapshot.file), TypeError, "ranges");
  assertThrows(serve({ ...first, len: 0 }), RangeError, "0 bytes");
  assertThrows(serve({ ...first, hostAddress: 2 ** 64 }), RangeError, "beyond 2^53");
  assertThrows(serve({ ...first, len: first.len + 41 * PAGE }), SnapshotMismatch);
  assertThrows(serve(first, { ...second, position: second.position + PAGE }), SnapshotMismatch);
  for (const field of ["hostAddress", "position"] as const) {
    const moved = { ...second, [field]: first[field] + first.len - PAGE };
    assertThrows(serve(first, moved), RangeError, "overlap");
    assertThrows(serve(moved, first), RangeError, "overlap");
  }
  for (const hostAddress of [2 ** 52, 2 ** 52 + PAGE]) {
    const error = assertThrows(serve({ ...first, hostAddress }), SystemError);
    assertEquals([error.call, error.code], ["ioctl", "EINVAL"]);
  }
  using socket = new EventFd();
  assertThrows(() => new FaultServer(fd, ranges, socket.fd), SnapshotRefused);
  socket.close();
  assert(openDescriptors() <= before);
  memory.close();
});

lazyTest("close() ends a server, and who touches a page waits for the next", async () => {
  using snapshot = await snapshotOf(SMALL);
  const before = await settledDescriptors();
  {
    using memory = snapshot.restore({ thread: false });
    const handler = FaultHandler.of(memory);
    const { wrong } = touchAll(memory);
    for (let servers = 0; servers < 5; servers++) {
      const server = new FaultServer(handler.fd, handler.ranges, snapshot.file, {
        prefetch: false,
      });
      await pause(Math.random() * 20);
      server.close();
      server.close();
      await assertRejects(() => server.done, MemoryClosed);
    }
    using _last = new FaultServer(handler.fd, handler.ranges, snapshot.file);
    assertEquals(await wrong, []);
  }
  assert(await until(() => openDescriptors() <= before));
});
