import {
  assert,
  assertEquals,
  assertFalse,
  assertLessOrEqual,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import {
  AtomicBitmap,
  dirtyRuns,
  GuestMemoryHeap,
  GuestMemoryMmap,
  InvalidBackendAddress,
  InvalidGuestAddress,
  type Iommu,
  IommuError,
  IommuMemory,
  Iotlb,
  MemoryClosed,
  OutOfBounds,
  Permissions,
  readFromStream,
  type VolatileSlice,
  writeToStream,
} from "../../mod.ts";
import { clean, exactly } from "../support/tracked_memories.ts";
import { content, count, gpa, offset } from "../support/values.ts";

// What writeToStream puts in a chunk at most.
const CHUNK = 65_536;

// [0, 8) and [8, 24), a hole, [32, 40)
function memoryWithHole(): GuestMemoryHeap {
  return GuestMemoryHeap.fromRanges([[gpa(0), 8], [gpa(8), 16], [gpa(32), 8]], exactly);
}

/** A stream of chunks that remembers what happened to it. */
function source(...chunks: Uint8Array[]) {
  const state = { pulls: 0, cancelled: false };
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      const chunk = chunks[state.pulls++];
      if (chunk === undefined) controller.close();
      else controller.enqueue(chunk);
    },
    cancel() {
      state.cancelled = true;
    },
  }, { highWaterMark: 0 });
  return { stream, state };
}

/** A stream that keeps the chunks that it got. */
function sink(write: (chunk: Uint8Array) => void | Promise<void> = () => {}) {
  const chunks: Uint8Array[] = [];
  const stream = new WritableStream<Uint8Array>({
    write(chunk) {
      chunks.push(chunk);
      return write(chunk);
    },
  });
  return { stream, chunks };
}

function joined(chunks: Uint8Array[]): Promise<Uint8Array> {
  return new Blob(chunks as Uint8Array<ArrayBuffer>[]).bytes();
}

Deno.test("readFromStream() reads a stream to its end, over regions, and marks it dirty", async () => {
  const memory = memoryWithHole();
  const { stream, state } = source(count(3), count(9, 4), new Uint8Array(0), count(2, 13));
  assertEquals(await readFromStream(memory, gpa(2), stream, 100), 14);
  assertEquals(content(memory, 0, 17), Uint8Array.of(0, 0, ...count(14), 0));
  assertEquals([...dirtyRuns(memory)], [[gpa(2), 14]]);
  assertFalse(state.cancelled);
});

Deno.test("readFromStream() reads into a region and into a slice", async () => {
  const memory = memoryWithHole();
  const region = memory.findRegion(gpa(8))!;
  assertEquals(await readFromStream(region, offset(14), source(count(4)).stream, 4), 2);
  const slice = region.getSlice(offset(4), 4);
  assertEquals(await readFromStream(slice, 1, source(count(1), count(1, 2)).stream, 9), 2);
  assertEquals(
    content(memory, 8, 16),
    Uint8Array.of(0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 2),
  );
  assertEquals([...dirtyRuns(memory)], [[gpa(13), 2], [gpa(22), 2]]);
});

for (const [limit, chunks] of [[5, 2], [4, 1], [3, 1], [8, 2], [9, 3]] as const) {
  Deno.test(`readFromStream() of ${limit} bytes in chunks of 4 takes ${chunks} and cancels`, async () => {
    const memory = memoryWithHole();
    const { stream, state } = source(count(4), count(4, 5), count(4, 9), count(4, 13));
    assertEquals(await readFromStream(memory, gpa(0), stream, limit), limit);
    assertEquals(
      content(memory, 0, 20),
      Uint8Array.of(...count(limit), ...new Uint8Array(20 - limit)),
    );
    assertEquals(state, { pulls: chunks, cancelled: true });
    assertEquals([...dirtyRuns(memory)], [[gpa(0), limit]]);
  });
}

for (
  const [what, chunks] of [
    ["in a chunk", [count(3), count(9, 4)]],
    ["at the end of a chunk", [count(3), count(5, 4), count(4, 9)]],
  ] as const
) {
  Deno.test(`readFromStream() stops where memory ends ${what}, and cancels the rest`, async () => {
    const memory = memoryWithHole();
    for (const at of [16, 32]) {
      const { stream, state } = source(...chunks);
      assertEquals(await readFromStream(memory, gpa(at), stream, 100), 8);
      assertEquals(content(memory, at, 8), count(8));
      assertEquals(state, { pulls: chunks.length, cancelled: true });
    }
    // The memory after the hole is written by the second only.
    assertEquals([...dirtyRuns(memory)], [[gpa(16), 8], [gpa(32), 8]]);
    const region = memory.findRegion(gpa(32))!;
    assertEquals(await readFromStream(region, offset(0), source(...chunks).stream, 100), 8);
    const slice = region.asVolatileSlice();
    assertEquals(await readFromStream(slice, 0, source(...chunks).stream, 100), 8);
  });
}

Deno.test("readFromStream() rejects where the first byte is in no region, and cancels", async () => {
  const memory = memoryWithHole();
  const region = memory.findRegion(gpa(0))!;
  const streams = [source(count(4)), source(count(4)), source(count(4))] as const;
  const error = await assertRejects(
    () => readFromStream(memory, gpa(24), streams[0].stream, 4),
    InvalidGuestAddress,
  );
  assertEquals(error.address, gpa(24));
  await assertRejects(
    () => readFromStream(region, offset(8), streams[1].stream, 4),
    InvalidBackendAddress,
  );
  await assertRejects(
    () => readFromStream(region.asVolatileSlice(), 8, streams[2].stream, 4),
    OutOfBounds,
  );
  for (const { state } of streams) assert(state.cancelled);
});

Deno.test("readFromStream() of zero bytes leaves the stream alone", async () => {
  const { stream, state } = source(count(4));
  assertEquals(await readFromStream(memoryWithHole(), gpa(99), stream, 0), 0);
  assertEquals([state, stream.locked], [{ pulls: 0, cancelled: false }, false]);
  await stream.cancel();
});

for (const limit of [-1, -3, NaN]) {
  Deno.test(`readFromStream() and writeToStream() of ${limit} bytes transfer nothing`, async () => {
    const memory = memoryWithHole();
    const read = readFromStream(memory, gpa(0), source(count(4)).stream, limit);
    assert(await read.catch((error) => error instanceof Error ? 0 : 1) === 0);
    assertEquals([...dirtyRuns(memory)], []);
    const { stream, chunks } = sink();
    const write = writeToStream(memory, gpa(0), stream, limit);
    assert(await write.catch((error) => error instanceof Error ? 0 : 1) === 0);
    assertEquals(chunks, []);
  });
}

for (const limit of [0.5, 2.5]) {
  Deno.test(`readFromStream() and writeToStream() of ${limit} bytes come to an end`, async () => {
    const memory = memoryWithHole();
    const ended = async (transfer: Promise<number>) => {
      const done = await transfer.catch((error) => error instanceof Error ? 0 : 99);
      assert(done <= limit, `${done}`);
    };
    await ended(readFromStream(memory, gpa(0), source(count(1), count(1), count(4)).stream, limit));
    let writes = 0;
    const { stream } = sink(() => {
      if (++writes > 3) throw new Error("goes on and on");
    });
    await ended(writeToStream(memory, gpa(0), stream, limit));
    assert(writes <= 3);
  });
}

Deno.test("readFromStream() throws what the stream throws, after what came before", async () => {
  const memory = memoryWithHole();
  const cause = new Error("the network is gone");
  let pulls = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (pulls++ === 0) controller.enqueue(count(5));
      else controller.error(cause);
    },
  });
  const error = await assertRejects(() => readFromStream(memory, gpa(0), stream, 100));
  assertStrictEquals(error, cause);
  assertEquals(content(memory, 0, 6), Uint8Array.of(...count(5), 0));
  assertEquals([...dirtyRuns(memory)], [[gpa(0), 5]]);
});

Deno.test("readFromStream() throws MemoryClosed when the memory is closed between chunks", async () => {
  for (const level of ["memory", "region", "slice"]) {
    const memory = GuestMemoryMmap.fromRanges([[gpa(0), 4096]]);
    const region = memory.findRegion(gpa(0))!;
    const target = { memory, region, slice: region.asVolatileSlice() }[level] as VolatileSlice;
    let pulls = 0;
    let reason: unknown;
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (++pulls === 3) memory.close();
        controller.enqueue(count(4));
      },
      cancel(why) {
        reason = why ?? "cancelled";
      },
    }, { highWaterMark: 0 });
    await assertRejects(() => readFromStream(target, 0, stream, 100), MemoryClosed);
    assertEquals([pulls, reason], [3, "cancelled"]);
  }
});

Deno.test("readFromStream() asks for a chunk when the last one is in memory", async () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 100], [gpa(100), 900]]);
  let pulls = 0;
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const before = 10 * pulls++;
      assertEquals(content(memory, 0, before), new Uint8Array(before).fill(7));
      // A source that takes its time.
      await new Promise((resolve) => setTimeout(resolve, 1));
      controller.enqueue(new Uint8Array(10).fill(7));
    },
  }, { highWaterMark: 0 });
  assertEquals(await readFromStream(memory, gpa(0), stream, 250), 250);
  assertEquals(pulls, 25);
});

Deno.test("writeToStream() writes memory in chunks, over regions, and leaves the stream open", async () => {
  const size = 2 * CHUNK + 5;
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 70_000], [gpa(70_000), 2 ** 20]], exactly);
  const data = Uint8Array.from({ length: size }, (_, i) => i * 3 + (i >> 8));
  memory.writeSlice(data, gpa(11));
  clean(memory);
  const { stream, chunks } = sink();
  assertEquals(await writeToStream(memory, gpa(11), stream, size), size);
  assertEquals(chunks.map(({ length }) => length), [CHUNK, CHUNK, 5]);
  assertEquals(await joined(chunks), data);
  assertEquals([...dirtyRuns(memory)], []);
  assertFalse(stream.locked);
  const writer = stream.getWriter();
  await writer.write(count(1));
  await writer.close();
  assertEquals(chunks.length, 4);
});

Deno.test("writeToStream() gives new chunks that memory does not change any more", async () => {
  const memory = memoryWithHole();
  memory.writeSlice(count(8), gpa(0));
  const { stream, chunks } = sink();
  await writeToStream(memory, gpa(0), stream, 8);
  memory.writeSlice(new Uint8Array(8), gpa(0));
  assertEquals(chunks, [count(8)]);
  chunks[0]!.fill(9);
  assertEquals(content(memory, 0, 8), new Uint8Array(8));
});

Deno.test("writeToStream() stops at a hole and at the end", async () => {
  const memory = memoryWithHole();
  memory.writeSlice(count(24), gpa(0));
  const { stream, chunks } = sink();
  assertEquals(await writeToStream(memory, gpa(20), stream, 100), 4);
  assertEquals(await writeToStream(memory, gpa(36), stream, 100), 4);
  const region = memory.findRegion(gpa(8))!;
  assertEquals(await writeToStream(region, offset(13), stream, 100), 3);
  assertEquals(await writeToStream(region.asVolatileSlice(), 15, stream, 100), 1);
  assertEquals(chunks, [count(4, 21), new Uint8Array(4), count(3, 22), count(1, 24)]);
});

Deno.test("writeToStream() writes no empty chunk where memory ends with a chunk", async () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), CHUNK]]);
  const region = memory.findRegion(gpa(0))!;
  const { stream, chunks } = sink();
  assertEquals(await writeToStream(memory, gpa(0), stream, 3 * CHUNK), CHUNK);
  assertEquals(await writeToStream(region, offset(0), stream, 3 * CHUNK), CHUNK);
  assertEquals(await writeToStream(region.asVolatileSlice(), 0, stream, 3 * CHUNK), CHUNK);
  assertEquals(chunks.map(({ length }) => length), [CHUNK, CHUNK, CHUNK]);
});

Deno.test("writeToStream() rejects where the first byte is in no region, and frees the stream", async () => {
  const memory = memoryWithHole();
  const { stream, chunks } = sink();
  await assertRejects(() => writeToStream(memory, gpa(24), stream, 4), InvalidGuestAddress);
  const region = memory.findRegion(gpa(0))!;
  await assertRejects(() => writeToStream(region, offset(8), stream, 4), InvalidBackendAddress);
  await assertRejects(
    () => writeToStream(region.asVolatileSlice(), 8, stream, 4),
    OutOfBounds,
  );
  assertEquals([chunks.length, stream.locked], [0, false]);
});

Deno.test("writeToStream() of zero bytes writes nothing", async () => {
  const { stream, chunks } = sink();
  assertEquals(await writeToStream(memoryWithHole(), gpa(99), stream, 0), 0);
  assertEquals([chunks, stream.locked], [[], false]);
});

Deno.test("writeToStream() throws what the stream throws, and frees the stream", async () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), 4 * CHUNK]]);
  const cause = new Error("the disk is full");
  let writes = 0;
  const { stream } = sink(() => {
    if (++writes === 2) throw cause;
  });
  const error = await assertRejects(() => writeToStream(memory, gpa(0), stream, 4 * CHUNK));
  assertStrictEquals(error, cause);
  assertEquals([writes, stream.locked], [2, false]);
});

Deno.test("writeToStream() throws MemoryClosed when the memory is closed between chunks", async () => {
  const memory = GuestMemoryMmap.fromRanges([[gpa(0), 4 * CHUNK]]);
  const { stream, chunks } = sink(() => {
    if (chunks.length === 2) memory.close();
  });
  await assertRejects(() => writeToStream(memory, gpa(0), stream, 4 * CHUNK), MemoryClosed);
  assertEquals([chunks.length, stream.locked], [2, false]);
});

Deno.test("writeToStream() reads a chunk when the sink is ready for it", async () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 5 * CHUNK]]);
  let busy = 0;
  const { stream, chunks } = sink(async () => {
    assertEquals(++busy, 1);
    // The sink takes its time. What is written to memory meanwhile is in the next chunk.
    await new Promise((resolve) => setTimeout(resolve, 1));
    memory.write(Uint8Array.of(chunks.length), gpa(chunks.length * CHUNK));
    busy--;
  });
  assertEquals(await writeToStream(memory, gpa(0), stream, 4 * CHUNK - 1), 4 * CHUNK - 1);
  assertEquals(chunks.map((chunk) => chunk[0]), [0, 1, 2, 3]);
});

Deno.test("writeToStream() waits for what the sink has to do first", async () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 4096]]);
  const { stream, chunks } = sink(async (chunk) => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    memory.write(chunk, gpa(0));
  });
  const writer = stream.getWriter();
  const first = writer.write(count(8));
  writer.releaseLock();
  assertEquals(await writeToStream(memory, gpa(0), stream, 8), 8);
  await first;
  assertEquals(chunks, [count(8), count(8)]);
});

Deno.test("a transfer between two memories holds one chunk at a time", async () => {
  const size = 20 * CHUNK;
  using from = GuestMemoryMmap.fromRanges([[gpa(0), size]]);
  using to = GuestMemoryMmap.fromRanges(
    [[gpa(0), 10 * CHUNK + 1], [gpa(10 * CHUNK + 1), size]],
    exactly,
  );
  for (let at = 0; at < size; at += 1000) from.write(count(7, at), gpa(at));
  let sent = 0;
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      const arrived = [...dirtyRuns(to)].reduce((sum, [, length]) => sum + length, 0);
      assertLessOrEqual(sent - arrived, CHUNK);
      sent += chunk.length;
      controller.enqueue(chunk);
    },
  });
  const reading = readFromStream(to, gpa(5), readable, Number.MAX_SAFE_INTEGER);
  assertEquals(await writeToStream(from, gpa(0), writable, size), size);
  await writable.close();
  assertEquals(await reading, size);
  assertEquals(content(to, 5, size), content(from, 0, size));
  assertEquals([...dirtyRuns(to)], [[gpa(5), size]]);
});

Deno.test("readFromStream() and writeToStream() go through an IOMMU, as far as it lets them", async () => {
  const physical = memoryWithHole();
  const tlb = new Iotlb();
  const bitmap = new AtomicBitmap(64, 1);
  const translate: Iommu["translate"] = (...range) => tlb.lookup(...range);
  const memory = new IommuMemory(physical, { translate }, { bitmap });
  tlb.setMapping(gpa(0), gpa(32), 8, Permissions.ReadWrite);
  tlb.setMapping(gpa(8), gpa(4), 12, Permissions.ReadWrite);
  assertEquals(await readFromStream(memory, gpa(2), source(count(5), count(9, 6)).stream, 14), 14);
  assertEquals(content(physical, 34, 6), count(6));
  assertEquals(content(physical, 4, 8), count(8, 7));
  assertEquals([...bitmap.dirtyRuns()], [[2, 14]]);
  assertEquals([...dirtyRuns(physical)], [[gpa(4), 8], [gpa(34), 6]]);
  const { stream, chunks } = sink();
  assertEquals(await writeToStream(memory, gpa(2), stream, 14), 14);
  assertEquals(chunks, [count(14)]);
  // What may not be accessed is no end of memory.
  const tooLong = source(count(15), count(15));
  await assertRejects(() => readFromStream(memory, gpa(0), tooLong.stream, 100), IommuError);
  assert(tooLong.state.cancelled);
  await assertRejects(() => writeToStream(memory, gpa(0), stream, 21), IommuError);
});

Deno.test("guest memory goes over HTTP and back", async () => {
  const size = 5 * 2 ** 20 + 3;
  using server = GuestMemoryMmap.fromRanges(
    [[gpa(0), 2 ** 21 + 1], [gpa(2 ** 21 + 1), 2 ** 22]],
    exactly,
  );
  using client = GuestMemoryMmap.fromRanges([[gpa(0), 2 ** 22], [gpa(2 ** 22), 2 ** 21]], exactly);
  const data = Uint8Array.from({ length: size }, (_, i) => i * 5 + (i >> 10));
  client.writeSlice(data, gpa(0));

  // How the last response ended: with an error where its reader went away.
  let serving: Promise<unknown> = Promise.resolve();
  await using http = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      if (request.method === "PUT") {
        return Response.json(
          await readFromStream(server, gpa(4096), request.body!, Number.MAX_SAFE_INTEGER),
        );
      }
      const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
      serving = writeToStream(server, gpa(4096), writable, size)
        .then(() => writable.close())
        .catch((error) => error);
      return new Response(readable);
    },
  );
  const url = `http://127.0.0.1:${http.addr.port}/`;

  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const sent = writeToStream(client, gpa(0), writable, size).then((done) =>
    writable.close().then(() => done)
  );
  const put = await fetch(url, { method: "PUT", body: readable });
  assertEquals([await put.json(), await sent], [size, size]);
  assertEquals(content(server, 4096, size), data);
  assertEquals([...dirtyRuns(server)], [[gpa(4096), size]]);

  client.writeSlice(new Uint8Array(size), gpa(0));
  clean(client);
  const get = await fetch(url);
  assertEquals(await readFromStream(client, gpa(100), get.body!, Number.MAX_SAFE_INTEGER), size);
  assertEquals(await serving, undefined);
  assertEquals(content(client, 100, size), data);
  assertEquals([...dirtyRuns(client)], [[gpa(100), size]]);

  // Less than the body: the rest is cancelled, and the server's transfer ends.
  const part = await fetch(url);
  client.writeSlice(new Uint8Array(300_000), gpa(0));
  assertEquals(await readFromStream(client, gpa(0), part.body!, 200_001), 200_001);
  assertEquals(content(client, 0, 200_001), data.subarray(0, 200_001));
  assertEquals(content(client, 200_001, 1), new Uint8Array(1));
  await serving;
});
