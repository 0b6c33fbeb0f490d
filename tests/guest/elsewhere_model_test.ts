import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type Bytes,
  bytes,
  type ByteSink,
  type ByteSource,
  Cursor,
  GuestAddress,
  GuestMemoryError,
  type GuestMemoryRegion,
  GuestRegionCollection,
  GuestRegionHeap,
  GuestRegionMmap,
  struct,
  u16be,
  u32,
  u8,
  type ValueOf,
} from "../../mod.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import { RecordingBitmap } from "../support/recording_bitmap.ts";

const A = GuestAddress;
const KINDS = ["elsewhere", "heap", "mapped"] as const;

function regionOf(
  kind: typeof KINDS[number],
  start: number,
  length: number,
  marks: RecordingBitmap,
): GuestMemoryRegion {
  const options = { bitmap: () => marks };
  switch (kind) {
    case "elsewhere":
      return new ElsewhereRegion(start, length, marks);
    case "heap":
      return new GuestRegionHeap(A(start), length, options);
    case "mapped":
      return GuestRegionMmap.fromRange(A(start), length, options);
  }
}

// Each byte that memory has, and those that were written: all that the model is.
class Model {
  readonly bytes = new Map<number, number>();
  readonly dirty = new Set<number>();

  /** How many of `count` bytes there are from an address on. */
  run(at: number, count: number): number {
    let done = 0;
    while (done < count && this.bytes.has(at + done)) done++;
    return done;
  }

  get(at: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.bytes.get(at + i)!);
  }

  put(at: number, content: Iterable<number>): void {
    for (const byte of content) {
      this.bytes.set(at, byte);
      this.dirty.add(at++);
    }
  }
}

const Packed = struct({ kind: u8, size: u32, tag: u16be, name: bytes(3) }, { packed: true });

function packed(content: Uint8Array): ValueOf<typeof Packed> {
  const view = new DataView(content.slice().buffer);
  return {
    kind: view.getUint8(0),
    size: view.getUint32(1, true),
    tag: view.getUint16(5),
    name: content.slice(7, 10),
  };
}

function readerOf(content: Uint8Array): ByteSource {
  let done = 0;
  return {
    readSync(buffer) {
      const part = content.subarray(done, done + buffer.length);
      buffer.set(part);
      done += part.length;
      return part.length === 0 ? null : part.length;
    },
  };
}

function writerOf(taken: number[]): ByteSink {
  return {
    writeSync(buffer) {
      taken.push(...buffer);
      return buffer.length;
    },
  };
}

const ACTIONS = ["read", "write", "readObj", "writeObj", "fill", "drain"] as const;
const step = fc.record({
  action: fc.constantFrom(...ACTIONS),
  at: fc.nat(60),
  content: fc.uint8Array({ minLength: 0, maxLength: 30 }),
  image: fc.uint8Array({ minLength: 10, maxLength: 10 }),
  // A cursor or a stream of Deno's.
  plain: fc.boolean(),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function attempt(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    if (error instanceof GuestMemoryError) return error.name;
    throw error;
  }
}

// What the memory does, and what the model says that it does.
function play(memory: Bytes<number>, model: Model, given: Step): [unknown, unknown] {
  const { action, at, content, image, plain } = given;
  const count = content.length;
  const done = model.run(at, count);
  const outside = "InvalidGuestAddress";
  if (action === "readObj" || action === "writeObj") {
    const whole = model.run(at, 10);
    const partial = whole === 0 ? outside : "PartialBuffer";
    if (action === "readObj") {
      const actual = attempt(() => memory.readObj(Packed, at));
      return [actual, whole < 10 ? partial : packed(Uint8Array.from(model.get(at, 10)))];
    }
    const actual = attempt(() => memory.writeObj(Packed, packed(image), at));
    model.put(at, image.subarray(0, whole));
    return [actual, whole < 10 ? partial : undefined];
  }
  const expected = count > 0 && done === 0 ? outside : done;
  if (action === "write" || action === "fill") {
    const source = plain ? new Cursor(content) : readerOf(content);
    const actual = attempt(() =>
      action === "write" ? memory.write(content, at) : memory.readVolatileFrom(at, source, count)
    );
    model.put(at, content.subarray(0, done));
    return [actual, expected];
  }
  let taken: number[] = [];
  const buf = new Uint8Array(count);
  const actual = attempt(() => {
    if (action === "read") return memory.read(buf, at);
    return memory.writeVolatileTo(at, plain ? new Cursor(buf) : writerOf(taken), count);
  });
  if (action === "read" || plain) taken = [...buf.subarray(0, done)];
  return [[actual, ...taken], [expected, ...model.get(at, done)]];
}

Deno.test("regions with read and write alone, beside others, do what a table of bytes does", () => {
  const layout = fc.array(
    fc.record({
      gap: fc.constantFrom(0, 0, 0, 3),
      length: fc.integer({ min: 1, max: 20 }),
      kind: fc.constantFrom("elsewhere" as const, ...KINDS),
    }),
    { minLength: 1, maxLength: 4 },
  );
  fc.assert(
    fc.property(layout, fc.array(step, { maxLength: 25, size: "max" }), (parts, steps) => {
      const model = new Model();
      const marks: [number, RecordingBitmap][] = [];
      let end = 0;
      const regions = parts.map(({ gap, length, kind }) => {
        const start = end + gap;
        end = start + length;
        for (let at = start; at < end; at++) model.bytes.set(at, 0);
        marks.push([start, new RecordingBitmap()]);
        return regionOf(kind, start, length, marks.at(-1)![1]);
      });
      using memory = GuestRegionCollection.fromRegions(regions);
      for (const given of steps) {
        const [actual, expected] = play(memory as Bytes<number>, model, given);
        assertEquals(actual, expected);
        const dirty = marks.flatMap(([start, bitmap]) =>
          bitmap.take().flatMap(([at, length]) => Array.from({ length }, (_, i) => start + at + i))
        );
        assertEquals(new Set(dirty), model.dirty);
        model.dirty.clear();
      }
      for (const { startAddr, len } of regions) {
        const actual = new Uint8Array(len);
        memory.readSlice(actual, startAddr);
        assertEquals([...actual], model.get(startAddr, len));
      }
    }),
    { numRuns: 1500 },
  );
});
