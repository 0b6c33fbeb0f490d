import { assertEquals, assertInstanceOf, assertStrictEquals, assertThrows } from "@std/assert";
import {
  type ByteSink,
  type ByteSource,
  Cursor,
  GuestAddress,
  GuestMemoryHeap,
  IOError,
  PartialBuffer,
  VolatileSlice,
} from "../../mod.ts";
import { RecordingBitmap } from "../support/recording_bitmap.ts";
import { count, gpa } from "../support/values.ts";

// Two adjacent regions of 8 bytes at 0, whose writes are recorded by guest address.
function twoRegions(): { memory: GuestMemoryHeap; bitmap: RecordingBitmap } {
  const bitmap = new RecordingBitmap();
  let next = 0;
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), 8], [gpa(8), 8]], {
    bitmap: (length) => {
      const slice = bitmap.sliceAt(next);
      next += length;
      return slice;
    },
  });
  return { memory, bitmap };
}

function content(memory: GuestMemoryHeap): Uint8Array {
  const all = new Uint8Array(16);
  memory.readSlice(all, gpa(0));
  return all;
}

// Each step of a scripted stream: bytes it moves at most, or an error it throws.
type Step = number | Error;

class Script {
  readonly data: Uint8Array;
  position = 0;
  calls = 0;
  readonly #steps: Step[];

  constructor(data: Uint8Array, ...steps: Step[]) {
    this.data = data;
    this.#steps = steps;
  }

  next(limit: number): Uint8Array {
    this.calls++;
    const step = this.#steps.shift() ?? 0;
    if (step instanceof Error) throw step;
    const part = this.data.subarray(this.position, this.position + Math.min(step, limit));
    this.position += part.length;
    return part;
  }
}

class Reader extends Script {
  readSync(buffer: Uint8Array): number | null {
    const part = this.next(buffer.length);
    buffer.set(part);
    return part.length === 0 ? null : part.length;
  }
}

class VolatileReader extends Script {
  readVolatile(slice: VolatileSlice): number {
    return slice.write(this.next(slice.len), 0);
  }
}

class Writer extends Script {
  writeSync(buffer: Uint8Array): number {
    const part = this.next(buffer.length);
    part.set(buffer.subarray(0, part.length));
    return part.length;
  }
}

class VolatileWriter extends Script {
  writeVolatile(slice: VolatileSlice): number {
    return slice.read(this.next(slice.len), 0);
  }
}

const interrupted = new Deno.errors.Interrupted("a signal came");
const SMALL = [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3];

Deno.test("Cursor is a source that advances", () => {
  const { memory } = twoRegions();
  const source = new Cursor(count(7), 1);
  assertEquals(memory.readVolatileFrom(gpa(6), source, 4), 4);
  assertEquals(source.position, 5);
  assertEquals(memory.readVolatileFrom(gpa(0), source, 4), 2);
  assertEquals(memory.readVolatileFrom(gpa(0), source, 4), 0);
  assertEquals(content(memory).subarray(0, 10), Uint8Array.of(6, 7, 0, 0, 0, 0, 2, 3, 4, 5));
});

Deno.test("Cursor is a sink that advances", () => {
  const { memory } = twoRegions();
  memory.writeSlice(count(16), gpa(0));
  const sink = new Cursor(new Uint8Array(6), 1);
  assertEquals(memory.writeVolatileTo(gpa(6), sink, 4), 4);
  assertEquals(memory.writeVolatileTo(gpa(0), sink, 4), 1);
  assertEquals(memory.writeVolatileTo(gpa(0), sink, 4), 0);
  assertEquals(sink.bytes, Uint8Array.of(0, 7, 8, 9, 10, 1));
  assertEquals(sink.position, 6);
});

Deno.test("Cursor shows the next bytes without moving", () => {
  const bytes = count(5);
  const cursor = new Cursor(bytes);
  assertEquals([cursor.peek(5) === bytes, [...cursor.peek(2)]], [true, [1, 2]]);
  assertEquals([cursor.advance(3), cursor.position, [...cursor.peek(9)]], [3, 3, [4, 5]]);
  cursor.peek(1)[0] = 9;
  assertEquals(bytes[3], 9);
});

Deno.test("Cursor over a detached buffer is at its end", () => {
  const bytes = count(4);
  const cursor = new Cursor(bytes);
  (bytes.buffer as ArrayBuffer).transfer();
  const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 16]]);
  assertEquals(memory.readVolatileFrom(GuestAddress(0), cursor, 4), 0);
});

const INTERRUPTIONS: Readonly<Record<string, () => Error>> = {
  "EINTR": () => Object.assign(new Error("again"), { code: "EINTR" }),
  "Interrupted": () => new Deno.errors.Interrupted("again"),
};

for (const [name, again] of Object.entries(INTERRUPTIONS)) {
  Deno.test(`a stream may report ${name} 999 times, and not 1,000 times`, () => {
    const memory = GuestMemoryHeap.fromRanges([[gpa(0), 16]]);
    let left = 0;
    const interrupt = <T>(done: T): T => {
      if (left-- > 0) throw again();
      return done;
    };
    const known = {
      readVolatile: (slice: VolatileSlice) => interrupt(slice).write(count(4), 0),
      writeVolatile: (slice: VolatileSlice) => interrupt(slice).len,
    };
    const streams = [
      known,
      { readSync: (view: Uint8Array) => interrupt(view.length), writeSync: () => interrupt(4) },
      {
        ...known,
        readVectoredVolatile: () => interrupt(4),
        writeVectoredVolatile: () => interrupt(4),
      },
    ] as unknown as (ByteSource & ByteSink)[];
    for (const stream of streams) {
      const calls = [
        () => memory.readVolatileFrom(gpa(0), stream, 4),
        () => memory.writeVolatileTo(gpa(0), stream, 4),
      ];
      for (const call of calls) {
        left = 999;
        assertEquals([call(), left], [4, -1]);
        left = 1000;
        const error = assertThrows(call, IOError);
        assertEquals([error.kind, (error.cause as Error).message, left], ["Other", "again", 0]);
      }
    }
  });
}

Deno.test("a custom Cursor is asked for every byte", () => {
  class Doubling extends Cursor {
    override readVolatile(slice: VolatileSlice): number {
      return slice.write(this.peek(slice.len).map((byte) => 2 * byte), 0);
    }
  }
  const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 16]]);
  memory.readVolatileFrom(GuestAddress(0), new Doubling(count(4)), 4);
  const read = new Uint8Array(4);
  memory.read(read, GuestAddress(0));
  assertEquals([...read], [2, 4, 6, 8]);
});

Deno.test("Cursor behind its end has nothing to give and no room", () => {
  const slice = VolatileSlice.from(count(4));
  const cursor = new Cursor(new Uint8Array(4), 9);
  assertEquals(slice.readVolatileFrom(0, cursor, 4), 0);
  assertEquals(slice.writeVolatileTo(0, cursor, 4), 0);
  assertEquals(cursor.position, 9);
  assertEquals(slice.rawView(), count(4));
});

const READERS = { readSync: Reader, readVolatile: VolatileReader };
const WRITERS = { writeSync: Writer, writeVolatile: VolatileWriter };

for (const [kind, Source] of Object.entries(READERS)) {
  Deno.test(`readVolatileFrom() stops at the first short ${kind}, leaving a prefix`, () => {
    const { memory, bitmap } = twoRegions();
    const source = new Source(count(16), 3, 16, 16);
    assertEquals(memory.readVolatileFrom(gpa(0), source, 16), 3);
    assertEquals(source.calls, 1);
    assertEquals(content(memory).subarray(0, 5), Uint8Array.of(1, 2, 3, 0, 0));
    assertEquals(bitmap.take(), [[0, 3]]);
  });

  Deno.test(`readVolatileFrom() goes on in the next region after a full ${kind}`, () => {
    const { memory, bitmap } = twoRegions();
    assertEquals(memory.readVolatileFrom(gpa(4), new Source(count(16), 4, 3, 9), 12), 7);
    assertEquals(content(memory).subarray(4, 12), Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 0));
    assertEquals(bitmap.take(), [[4, 4], [8, 3]]);
  });

  Deno.test(`readExactVolatileFrom() takes as many ${kind} calls as it needs`, () => {
    const { memory, bitmap } = twoRegions();
    memory.readExactVolatileFrom(gpa(1), new Source(count(20), ...SMALL), 14);
    assertEquals(content(memory), Uint8Array.of(0, ...count(14), 0));
    const dirty = [...content(memory).keys()].filter((at) => bitmap.dirtyAt(at));
    assertEquals(dirty, [...count(14)]);
  });

  Deno.test(`readExactVolatileFrom() says how far it came when ${kind} ends early`, () => {
    const { memory, bitmap } = twoRegions();
    const source = new Source(count(20), 3, 3, 2, 1, 0);
    const error = assertThrows(
      () => memory.readExactVolatileFrom(gpa(0), source, 16),
      PartialBuffer,
    );
    assertEquals([error.expected, error.completed], [16, 9]);
    assertEquals(content(memory), Uint8Array.of(...count(9), 0, 0, 0, 0, 0, 0, 0));
    assertEquals([bitmap.dirtyAt(8), bitmap.dirtyAt(9)], [true, false]);
  });

  Deno.test(`readVolatileFrom() tries an interrupted ${kind} again`, () => {
    const { memory, bitmap } = twoRegions();
    const source = new Source(count(16), interrupted, interrupted, 4);
    assertEquals(memory.readVolatileFrom(gpa(0), source, 4), 4);
    assertEquals(source.calls, 3);
    assertEquals(bitmap.take(), [[0, 4]]);
  });

  Deno.test(`a failing ${kind} is an IOError with its cause`, () => {
    const { memory } = twoRegions();
    const cause = new Error("disk on fire");
    const error = assertThrows(
      () => memory.readVolatileFrom(gpa(4), new Source(count(16), 4, cause), 8),
      IOError,
      "disk on fire",
    );
    assertEquals(error.kind, "Other");
    assertStrictEquals(error.cause, cause);
  });
}

for (const [kind, Sink] of Object.entries(WRITERS)) {
  Deno.test(`writeVolatileTo() stops at the first short ${kind}`, () => {
    const { memory, bitmap } = twoRegions();
    memory.writeSlice(count(16), gpa(0));
    bitmap.take();
    const sink = new Sink(new Uint8Array(20), 8, 3, 9);
    assertEquals(memory.writeVolatileTo(gpa(0), sink, 16), 11);
    assertEquals(sink.data.subarray(0, 12), Uint8Array.of(...count(11), 0));
    assertEquals([sink.calls, bitmap.take()], [2, []]);
  });

  Deno.test(`writeAllVolatileTo() takes as many ${kind} calls as it needs`, () => {
    const { memory } = twoRegions();
    memory.writeSlice(count(16), gpa(0));
    const sink = new Sink(new Uint8Array(20), ...SMALL);
    memory.writeAllVolatileTo(gpa(1), sink, 14);
    assertEquals(sink.data.subarray(0, 15), Uint8Array.of(...count(15).subarray(1), 0));
  });

  Deno.test(`writeAllVolatileTo() throws WriteZero when ${kind} takes no more`, () => {
    const { memory } = twoRegions();
    const sink = new Sink(new Uint8Array(20), 8, 2, 0);
    const error = assertThrows(() => memory.writeAllVolatileTo(gpa(0), sink, 16), IOError);
    assertEquals(error.kind, "WriteZero");
    assertEquals(sink.position, 10);
  });

  Deno.test(`writeVolatileTo() tries an interrupted ${kind} again`, () => {
    const { memory } = twoRegions();
    const sink = new Sink(new Uint8Array(16), interrupted, 4);
    assertEquals(memory.writeVolatileTo(gpa(0), sink, 4), 4);
    assertEquals(sink.calls, 2);
  });

  Deno.test(`a failing ${kind} is an IOError with its cause`, () => {
    const { memory, bitmap } = twoRegions();
    const cause = new Error("disk full");
    const sink = new Sink(new Uint8Array(16), cause);
    const error = assertThrows(() => memory.writeVolatileTo(gpa(0), sink, 8), IOError, "disk full");
    assertEquals([error.kind, bitmap.take()], ["Other", []]);
    assertStrictEquals(error.cause, cause);
  });
}

Deno.test("the exact forms throw PartialBuffer where the memory ends", () => {
  const { memory, bitmap } = twoRegions();
  const source = new Cursor(count(20));
  const read = assertThrows(
    () => memory.readExactVolatileFrom(gpa(10), source, 20),
    PartialBuffer,
  );
  assertEquals([read.expected, read.completed, source.position], [20, 6, 6]);
  assertEquals(bitmap.take(), [[10, 6]]);
  const sink = new Cursor(new Uint8Array(20));
  const write = assertThrows(() => memory.writeAllVolatileTo(gpa(10), sink, 20), PartialBuffer);
  assertEquals([write.expected, write.completed, sink.position], [20, 6, 6]);
  assertEquals(sink.bytes.subarray(0, 7), Uint8Array.of(1, 2, 3, 4, 5, 6, 0));
});

Deno.test("the exact forms of a slice refuse a range that does not fit before any transfer", () => {
  const slice = VolatileSlice.from(count(8));
  const stream = new Cursor(new Uint8Array(16));
  assertThrows(() => slice.readExactVolatileFrom(4, stream, 5));
  assertThrows(() => slice.writeAllVolatileTo(4, stream, 5));
  assertEquals([stream.position, stream.bytes[0]], [0, 0]);
});

Deno.test("a failing readSync marks all that it may have written", () => {
  const { memory, bitmap } = twoRegions();
  const source: ByteSource = {
    readSync(buffer) {
      buffer[0] = 1;
      throw new Error("half way");
    },
  };
  assertThrows(() => memory.readVolatileFrom(gpa(2), source, 4), IOError);
  assertEquals(bitmap.take(), [[2, 4]]);
});

const LIES = [9, -1, 0.5, NaN, Infinity, -Infinity];

for (const lie of LIES) {
  Deno.test(`a stream that reports ${lie} of 8 bytes is refused`, () => {
    const { memory } = twoRegions();
    const readers: ByteSource[] = [{ readSync: () => lie }, { readVolatile: () => lie }];
    const writers: ByteSink[] = [{ writeSync: () => lie }, { writeVolatile: () => lie }];
    for (const reader of readers) {
      assertThrows(() => memory.readVolatileFrom(gpa(0), reader, 8), IOError);
      assertThrows(() => memory.readExactVolatileFrom(gpa(0), reader, 8), IOError);
    }
    for (const writer of writers) {
      assertThrows(() => memory.writeVolatileTo(gpa(0), writer, 8), IOError);
      assertThrows(() => memory.writeAllVolatileTo(gpa(0), writer, 8), IOError);
    }
  });
}

Deno.test("a lying count is the cause of the error, in every kind of stream", () => {
  const slice = VolatileSlice.from(count(8));
  const calls = [
    () => slice.readVolatileFrom(0, { readSync: () => 9 }, 8),
    () => slice.readVolatileFrom(0, { readVolatile: () => 9 }, 8),
    () => slice.writeVolatileTo(0, { writeSync: () => 9 }, 8),
    () => slice.writeVolatileTo(0, { writeVolatile: () => 9 }, 8),
  ];
  for (const call of calls) {
    assertInstanceOf(assertThrows(call, IOError).cause, RangeError, `${call}`);
  }
});

Deno.test("a readSync that lies about its count leaves nothing written unmarked", () => {
  const { memory, bitmap } = twoRegions();
  const source: ByteSource = {
    readSync(buffer) {
      buffer.fill(7);
      return buffer.length + 1;
    },
  };
  assertThrows(() => memory.readVolatileFrom(gpa(0), source, 4), IOError);
  assertEquals(bitmap.take(), [[0, 4]]);
});

Deno.test("streams are not asked for zero bytes", () => {
  const { memory } = twoRegions();
  const never = new Reader(count(1));
  const full = new Writer(count(1));
  assertEquals(memory.readVolatileFrom(gpa(0), never, 0), 0);
  memory.readExactVolatileFrom(gpa(0), never, 0);
  assertEquals(memory.writeVolatileTo(gpa(0), full, 0), 0);
  memory.writeAllVolatileTo(gpa(0), full, 0);
  assertEquals([never.calls, full.calls], [0, 0]);
});

Deno.test("a stream sees exactly the range, and no byte beside it", () => {
  const { memory } = twoRegions();
  const seen: number[] = [];
  const greedy: ByteSource = {
    readSync(buffer) {
      seen.push(buffer.length);
      return buffer.fill(1).length;
    },
  };
  assertEquals(memory.readVolatileFrom(gpa(3), greedy, 10), 10);
  assertEquals(seen, [5, 5]);
  assertEquals(content(memory), Uint8Array.of(0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0));
});

Deno.test("Deno.FsFile is a source and a sink", () => {
  const { memory } = twoRegions();
  const path = Deno.makeTempFileSync();
  try {
    Deno.writeFileSync(path, count(12));
    using file = Deno.openSync(path, { read: true, write: true });
    memory.readExactVolatileFrom(gpa(2), file, 12);
    assertEquals(content(memory), Uint8Array.of(0, 0, ...count(12), 0, 0));
    assertEquals(memory.readVolatileFrom(gpa(0), file, 4), 0);
    memory.writeAllVolatileTo(gpa(0), file, 16);
    file.seekSync(0, Deno.SeekMode.Start);
    assertEquals(Deno.readFileSync(path).subarray(12), content(memory));
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("a stream that reports one byte more than several slices have is refused", () => {
  const { memory } = twoRegions();
  const stream = (claimed: number) => ({
    readVolatile: () => 0,
    readVectoredVolatile: () => claimed,
    writeVolatile: () => 0,
    writeVectoredVolatile: () => claimed,
  });
  assertEquals(memory.readVolatileFrom(gpa(2), stream(12), 12), 12);
  assertEquals(memory.writeVolatileTo(gpa(2), stream(12), 12), 12);
  const calls = [
    () => memory.readVolatileFrom(gpa(2), stream(13), 12),
    () => memory.writeVolatileTo(gpa(2), stream(13), 12),
  ];
  for (const call of calls) assertInstanceOf(assertThrows(call, IOError).cause, RangeError);
});

Deno.test("the exact forms of a slice say which way a stream ended", () => {
  const slice = VolatileSlice.from(count(8));
  const read = assertThrows(
    () => slice.readExactVolatileFrom(0, new Cursor(count(3)), 8),
    IOError,
  );
  const write = assertThrows(
    () => slice.writeAllVolatileTo(0, new Cursor(new Uint8Array(3)), 8),
    IOError,
  );
  assertEquals([read.kind, write.kind], ["UnexpectedEof", "WriteZero"]);
});
