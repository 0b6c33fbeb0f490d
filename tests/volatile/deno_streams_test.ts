import { assertEquals, assertInstanceOf, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AccessDenied,
  AtomicBitmap,
  dirtyRuns,
  GuestMemoryMmap,
  GuestRegionMmap,
  IOError,
  MemoryClosed,
  MmapRegion,
  PartialBuffer,
  Permissions,
  type ReaderSync,
  type WriterSync,
} from "../../mod.ts";
import { BACKINGS, clean, exactly, LEVELS, type Range } from "../support/tracked_memories.ts";
import { content, count, gpa } from "../support/values.ts";

const MOD = import.meta.resolve("../../mod.ts");

// Two adjacent regions, a hole, a third.
const RANGES: readonly Range[] = [[gpa(0), 12], [gpa(12), 20], [gpa(48), 16]];
/** An open file that is closed and removed at the end of its scope. */
function openFile(bytes: Uint8Array) {
  const path = Deno.makeTempFileSync();
  Deno.writeFileSync(path, bytes);
  const file = Deno.openSync(path, { read: true, write: true });
  return {
    file,
    path,
    get position() {
      return file.seekSync(0, Deno.SeekMode.Current);
    },
    [Symbol.dispose]() {
      file.close();
      Deno.removeSync(path);
    },
  };
}

for (const [backing, make] of Object.entries(BACKINGS)) {
  for (const [level, of] of Object.entries(LEVELS)) {
    Deno.test(`Deno.FsFile fills a ${level} in ${backing}`, () => {
      using memory = make(RANGES);
      using opened = openFile(count(9));
      const { file } = opened;
      assertEquals(of(memory).readVolatileFrom(1, file, 4), 4);
      assertEquals(opened.position, 4);
      of(memory).readExactVolatileFrom(6, file, 3);
      assertEquals(of(memory).readVolatileFrom(10, file, 2), 2);
      assertEquals(of(memory).readVolatileFrom(0, file, 8), 0);
      assertEquals(content(memory, 0, 12), Uint8Array.of(0, 1, 2, 3, 4, 0, 5, 6, 7, 0, 8, 9));
      assertEquals([...dirtyRuns(memory)], [[gpa(1), 4], [gpa(6), 3], [gpa(10), 2]]);
    });

    Deno.test(`Deno.FsFile takes a ${level} in ${backing}`, () => {
      using memory = make(RANGES);
      memory.writeSlice(count(32), gpa(0));
      clean(memory);
      using opened = openFile(new Uint8Array(0));
      assertEquals(of(memory).writeVolatileTo(1, opened.file, 4), 4);
      of(memory).writeAllVolatileTo(8, opened.file, 4);
      assertEquals(Deno.readFileSync(opened.path), Uint8Array.of(2, 3, 4, 5, 9, 10, 11, 12));
      assertEquals([...dirtyRuns(memory)], []);
    });
  }

  Deno.test(`Deno.FsFile is read and written over regions in ${backing}, up to a hole`, () => {
    using memory = make(RANGES);
    using opened = openFile(count(40));
    assertEquals(memory.readVolatileFrom(gpa(4), opened.file, 40), 28);
    assertEquals(opened.position, 28);
    assertEquals(content(memory, 4, 28), count(28));
    assertEquals(content(memory, 48, 16), new Uint8Array(16));
    using copy = openFile(new Uint8Array(0));
    assertEquals(memory.writeVolatileTo(gpa(5), copy.file, 100), 27);
    assertEquals(Deno.readFileSync(copy.path), count(27, 2));
  });

  Deno.test(`Deno.FsFile that ends early leaves a prefix in ${backing}`, () => {
    using memory = make(RANGES);
    using opened = openFile(count(15));
    assertEquals(memory.readVolatileFrom(gpa(2), opened.file, 28), 15);
    assertEquals(content(memory, 0, 18), Uint8Array.of(0, 0, ...count(15), 0));
    assertEquals([...dirtyRuns(memory)], [[gpa(2), 15]]);
  });

  Deno.test(`the exact forms throw PartialBuffer where ${backing} ends before the file`, () => {
    using memory = make(RANGES);
    using opened = openFile(count(40));
    const read = assertThrows(
      () => memory.readExactVolatileFrom(gpa(4), opened.file, 40),
      PartialBuffer,
    );
    assertEquals([read.expected, read.completed, opened.position], [40, 28, 28]);
    const write = assertThrows(
      () => memory.writeAllVolatileTo(gpa(4), opened.file, 40),
      PartialBuffer,
    );
    assertEquals([write.expected, write.completed, opened.position], [40, 28, 56]);
  });
}

Deno.test("Deno.FsFile moves more than a call takes in the exact forms", () => {
  const size = 3 * 2 ** 20 + 5;
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 2 ** 20], [gpa(2 ** 20), 2 ** 22]], {
    bitmap: (length) => new AtomicBitmap(length),
  });
  const data = Uint8Array.from({ length: size }, (_, i) => i * 7 + (i >> 12));
  using opened = openFile(data);
  memory.readExactVolatileFrom(gpa(4096), opened.file, size);
  assertEquals(content(memory, 4096, size), data);
  assertEquals([...dirtyRuns(memory)], [[gpa(4096), 3 * 2 ** 20 + 4096]]);
  using copy = openFile(new Uint8Array(0));
  memory.writeAllVolatileTo(gpa(4096), copy.file, size);
  assertEquals(Deno.readFileSync(copy.path), data);
});

Deno.test("a Deno.FsFile that fails is an IOError with Deno's error as cause", () => {
  using memory = GuestMemoryMmap.fromRanges(RANGES, exactly);
  const path = Deno.makeTempFileSync();
  const readOnly = Deno.openSync(path, { read: true });
  const writeOnly = Deno.openSync(path, { write: true });
  const calls = [
    () => memory.readVolatileFrom(gpa(2), writeOnly, 8),
    () => memory.readExactVolatileFrom(gpa(2), writeOnly, 8),
    () => memory.writeVolatileTo(gpa(2), readOnly, 8),
    () => memory.writeAllVolatileTo(gpa(2), readOnly, 8),
  ];
  for (const call of calls) {
    const error = assertThrows(call, IOError);
    assertEquals(error.kind, "Other");
    assertInstanceOf(error.cause, Error);
  }
  // A failing read may have written all that it was asked for; a failing write has written nothing.
  assertEquals([...dirtyRuns(memory)], [[gpa(2), 8]]);
  readOnly.close();
  writeOnly.close();
  for (const call of calls) {
    assertInstanceOf(assertThrows(call, IOError).cause, Deno.errors.BadResource);
  }
  Deno.removeSync(path);
});

interface Seen {
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  readonly length: number;
}

/** A stream that takes every byte and remembers the views that it was given. */
class Witness implements ReaderSync, WriterSync {
  readonly seen: Seen[] = [];

  readSync({ buffer, byteOffset, length }: Uint8Array): number {
    this.seen.push({ buffer, byteOffset, length });
    return length;
  }

  writeSync({ buffer, byteOffset, length }: Uint8Array): number {
    this.seen.push({ buffer, byteOffset, length });
    return length;
  }
}

for (const [backing, make] of Object.entries(BACKINGS)) {
  Deno.test(`readSync and writeSync get the memory itself, not a copy: ${backing}`, () => {
    using memory = make(RANGES);
    const [first, second] = [...memory].map((region) => region.asVolatileSlice().rawView());
    const reader = new Witness();
    assertEquals(memory.readVolatileFrom(gpa(3), reader, 20), 20);
    const writer = new Witness();
    assertEquals(memory.writeVolatileTo(gpa(3), writer, 20), 20);
    for (const { seen } of [reader, writer]) {
      assertStrictEquals(seen[0]!.buffer, first!.buffer);
      assertStrictEquals(seen[1]!.buffer, second!.buffer);
      const places = seen.map(({ byteOffset, length }) => [byteOffset, length]);
      assertEquals(places, [[first!.byteOffset + 3, 9], [second!.byteOffset, 11]]);
    }
  });
}

Deno.test("writeSync gets a copy of read-only memory, and readSync none of it", () => {
  using region = new GuestRegionMmap(
    new MmapRegion(4096, { protection: Permissions.Read }),
    gpa(0),
  );
  using memory = GuestMemoryMmap.fromRegions([region]);
  const stream = new Witness();
  assertThrows(() => memory.readVolatileFrom(gpa(8), stream, 16), AccessDenied);
  assertEquals(stream.seen, []);
  assertEquals(memory.writeVolatileTo(gpa(8), stream, 16), 16);
  const [seen] = stream.seen;
  assertEquals([stream.seen.length, seen!.length, seen!.buffer.byteLength], [1, 16, 16]);
  // JavaScript has no views that refuse writes: this one reaches no memory.
  new Uint8Array(seen!.buffer).fill(7);
  assertEquals(content(memory, 8, 16), new Uint8Array(16));
});

Deno.test("what a readSync writes is in memory before it returns", () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 4096]]);
  const reader: ReaderSync = {
    readSync(buffer) {
      buffer.set(count(4));
      assertEquals(content(memory, 8, 4), count(4));
      return 4;
    },
  };
  assertEquals(memory.readVolatileFrom(gpa(8), reader, 16), 4);
});

Deno.test("a stream that closes the memory ends the transfer, and nothing is touched after", () => {
  for (const closesIn of [1, 2]) {
    for (const transfer of ["readExactVolatileFrom", "writeAllVolatileTo"] as const) {
      const memory = GuestMemoryMmap.fromRanges([[gpa(0), 4096], [gpa(4096), 4096]]);
      let calls = 0;
      const step = (view: Uint8Array) => {
        if (++calls === closesIn) {
          memory.close();
          assertEquals(view.length, 0);
        }
        return 3;
      };
      assertThrows(
        () => memory[transfer](gpa(4000), { readSync: step, writeSync: step }, 200),
        MemoryClosed,
      );
      assertEquals(calls, closesIn);
    }
  }
});

// A program that takes a length and as many bytes from its input, over two regions, and gives them
// back doubled; then whatever comes until the end.
const ECHO = `
  import { GuestAddress, GuestMemoryMmap, IOError, PartialBuffer, u32 } from ${JSON.stringify(MOD)};
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 4096], [GuestAddress(4096), 2 ** 20]]);
  memory.readExactVolatileFrom(GuestAddress(0), Deno.stdin, 4);
  const length = memory.readObj(u32, GuestAddress(0));
  memory.readExactVolatileFrom(GuestAddress(4), Deno.stdin, length);
  memory.writeAllVolatileTo(GuestAddress(4), Deno.stdout, length);
  memory.writeAllVolatileTo(GuestAddress(4), Deno.stdout, length);
  try {
    memory.readExactVolatileFrom(GuestAddress(0), Deno.stdin, 1000);
  } catch (error) {
    const ended = error instanceof PartialBuffer ||
      error instanceof IOError && error.kind === "UnexpectedEof";
    console.error(ended ? "ended early" : error);
  }
  memory.writeAllVolatileTo(GuestAddress(0), Deno.stdout, 5);
  console.error(memory.readVolatileFrom(GuestAddress(0), Deno.stdin, 1));
`;

Deno.test("Deno.stdin and Deno.stdout are streams, whatever the pieces that pipes carry", async () => {
  await using child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", ECHO],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const data = Uint8Array.from({ length: 200_000 }, (_, i) => i * 13 + (i >> 9));
  const writer = child.stdin.getWriter();
  const output = child.output();
  const length = new Uint8Array(Uint32Array.of(data.length).buffer);
  await writer.write(length.subarray(0, 1));
  await writer.write(length.subarray(1));
  for (let done = 0; done < data.length; done += 33_333) {
    await writer.write(data.subarray(done, done + 33_333));
  }
  await writer.write(count(5, 101));
  await writer.close();
  const { code, stdout, stderr } = await output;
  assertEquals([code, new TextDecoder().decode(stderr)], [0, "ended early\n0\n"]);
  assertEquals(stdout.length, 2 * data.length + 5);
  assertEquals(stdout.subarray(0, data.length), data);
  assertEquals(stdout.subarray(data.length, 2 * data.length), data);
  assertEquals(stdout.subarray(2 * data.length), count(5, 101));
});
