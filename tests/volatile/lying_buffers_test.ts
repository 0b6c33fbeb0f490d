import { assertEquals, assertThrows } from "@std/assert";
import {
  array,
  bytes,
  Cursor,
  readFromStream,
  u8,
  VolatileSlice,
  writeToStream,
} from "../../mod.ts";
import { PLACES, SIZE } from "../support/places.ts";
import { count } from "../support/values.ts";

// 8 bytes that say that they are something else.
function lie(name: string, value: unknown): Uint8Array<ArrayBuffer> {
  return Object.defineProperty(count(8), name, { get: () => value });
}

class Derived extends Uint8Array<ArrayBuffer> {
  override subarray(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(64).fill(0xee);
  }
  override set(): void {}
  override slice(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(64).fill(0xee);
  }
  override fill(): this {
    return this;
  }
  override get length(): number {
    return 64;
  }
  override get byteOffset(): number {
    return -8;
  }
  static get [Symbol.species](): never {
    throw new Error("asked for a species");
  }
}

const LIES: Record<string, () => Uint8Array<ArrayBuffer>> = {
  "a length of more": () => lie("length", 64),
  "a length of less": () => lie("length", 1),
  "a length that is none": () => lie("length", NaN),
  "a negative length": () => lie("length", -8),
  "a byteLength of more": () => lie("byteLength", 64),
  "a byteLength of less": () => lie("byteLength", 1),
  "a byteLength that is text": () => lie("byteLength", "64"),
  "another buffer": () => lie("buffer", new ArrayBuffer(64)),
  "another byteOffset": () => lie("byteOffset", 4),
  "another subarray": () => lie("subarray", () => new Uint8Array(64)),
  "methods of its own": () => Derived.from(count(8)) as Derived,
  "another constructor": () => lie("constructor", Float64Array),
};

for (const [where, make] of Object.entries(PLACES)) {
  Deno.test(`buffers that lie are copied as they are: ${where}`, () => {
    for (const [what, buffer] of Object.entries(LIES)) {
      using place = make();
      const { memory, slice } = place;
      const all = () => slice.readObj(bytes(SIZE), 0);
      const expected = new Uint8Array(SIZE);
      expected.set(count(8), 4);
      assertEquals([what, memory.write(buffer(), 4)], [what, 8]);
      assertEquals(all(), expected);
      expected.set(count(8), 12);
      memory.writeSlice(buffer(), 12);
      assertEquals(all(), expected);
      expected.set(count(4), 28);
      assertEquals([what, memory.write(buffer(), 28)], [what, 4]);
      assertEquals(all(), expected);
      const into = buffer();
      assertEquals([what, memory.read(into, 14)], [what, 8]);
      const plain = new Uint8Array(8);
      for (let i = 0; i < 8; i++) plain[i] = into[i]!;
      assertEquals(plain, Uint8Array.of(3, 4, 5, 6, 7, 8, 0, 0));
      memory.readSlice(buffer(), 0);
      assertEquals([what, memory.read(buffer(), 30)], [what, 2]);
    }
  });

  Deno.test(`Cursor over a buffer with a wrong length moves by its real length: ${where}`, () => {
    for (const [what, buffer] of Object.entries(LIES)) {
      using place = make();
      const { memory } = place;
      const source = new Cursor(buffer());
      assertEquals([what, source.remaining], [what, 8]);
      assertEquals([what, memory.readVolatileFrom(0, source, 20)], [what, 8]);
      assertEquals(source.position, 8);
      const read = new Uint8Array(9);
      memory.read(read, 0);
      assertEquals([what, read], [what, Uint8Array.of(...count(8), 0)]);
      const sink = new Cursor(buffer(), 6);
      assertEquals([what, memory.writeVolatileTo(0, sink, 20)], [what, 2]);
      assertEquals([sink.position, sink.bytes[6], sink.bytes[7]], [8, 1, 2]);
    }
  });

  Deno.test(`buffers that are detached, shrunk or growing: ${where}`, () => {
    using place = make();
    const { memory, slice } = place;
    slice.copyFrom(count(SIZE));
    const detached = count(8);
    detached.buffer.transfer();
    assertEquals([memory.read(detached, 0), memory.write(detached, 0)], [0, 0]);
    memory.readSlice(detached, 0);

    const resizable = new ArrayBuffer(8, { maxByteLength: 64 });
    const [fixed, tracking] = [new Uint8Array(resizable, 0, 8), new Uint8Array(resizable)];
    resizable.resize(4);
    assertEquals([memory.read(fixed, 0), memory.write(fixed, 0)], [0, 0]);
    assertEquals([memory.read(tracking, 0), [...tracking]], [4, [1, 2, 3, 4]]);
    resizable.resize(16);
    assertEquals([memory.read(fixed, 0), memory.read(tracking, 0)], [8, 16]);

    const growable = new SharedArrayBuffer(4, { maxByteLength: 16 });
    const shared = new Uint8Array(growable);
    assertEquals(memory.read(shared, 0), 4);
    growable.grow(16);
    assertEquals(memory.read(shared, 8), 16);
    assertEquals([...shared], [...count(16, 9)]);
    assertEquals(memory.write(shared, 16), 16);
    assertEquals(slice.readObj(u8, 31), 24);
  });

  Deno.test(`readFromStream() takes chunks that lie as they are: ${where}`, async () => {
    for (const [what, buffer] of Object.entries(LIES)) {
      using place = make();
      const { memory, slice } = place;
      const stream = ReadableStream.from([buffer(), buffer()]);
      assertEquals([what, await readFromStream(memory, 0, stream, 12)], [what, 12]);
      const expected = [...count(8), ...count(4), 0];
      assertEquals(slice.readObj(array(u8, 13), 0), expected);
    }
  });

  Deno.test(`readFromStream() refuses chunks that are no bytes, and cancels: ${where}`, async () => {
    for (
      const chunk of ["text", 8, { byteLength: 8, length: 8 }, new DataView(new ArrayBuffer(8))]
    ) {
      using place = make();
      let cancelled = false;
      const stream = new ReadableStream({
        pull: (controller) => controller.enqueue(chunk),
        cancel: () => {
          cancelled = true;
        },
      });
      const failed = await readFromStream(place.memory, 0, stream, 8).then(() => false, (e) => e);
      assertEquals([failed instanceof TypeError, cancelled], [true, true]);
      assertEquals(place.slice.readObj(u8, 0), 0);
    }
  });

  Deno.test(`writeToStream() gives a sink nothing that leads to the memory: ${where}`, async () => {
    using place = make();
    place.slice.copyFrom(count(SIZE));
    const chunks: Uint8Array[] = [];
    const stream = new WritableStream<Uint8Array>({
      write(chunk) {
        chunks.push(chunk.slice());
        chunk.fill(0);
        (chunk.buffer as ArrayBuffer).transfer();
      },
    });
    assertEquals(await writeToStream(place.memory, 4, stream, 8), 8);
    assertEquals(chunks, [count(8, 5)]);
    assertEquals(place.slice.readObj(u8, 4), 5);
  });
}

const ARRAYS = [
  ...[Uint8Array, Int8Array, Uint16Array, Int16Array, Uint32Array, Int32Array],
  ...[BigUint64Array, BigInt64Array, Float32Array, Float64Array],
];
const NAMES = ["length", "byteLength", "byteOffset", "BYTES_PER_ELEMENT", "constructor", "buffer"];

for (const Array of ARRAYS) {
  Deno.test(`VolatileSlice copies ${Array.name}s that lie as they are`, () => {
    const size = Array.BYTES_PER_ELEMENT;
    // Aligned and whole, and neither.
    for (const offset of [0, 1]) {
      for (const name of NAMES) {
        const host = new Uint8Array(16 + offset);
        const slice = VolatileSlice.from(host).offset(offset);
        const source = new Array(new Uint8Array(count(16)).buffer);
        Object.defineProperty(source, name, { get: () => 1000 });
        assertEquals([name, slice.copyFrom(source)], [name, 16 / size]);
        assertEquals(host.subarray(offset), count(16));
        const target = new Array(new ArrayBuffer(16));
        const image = new Uint8Array(target.buffer);
        Object.defineProperty(target, name, { get: () => 1000 });
        assertEquals([name, slice.copyTo(target)], [name, 16 / size]);
        assertEquals(image, count(16));
      }
    }
  });
}

Deno.test("VolatileSlice.copyTo() and copyFrom() refuse what is no typed array", () => {
  const slice = VolatileSlice.from(count(16));
  const fakes = [
    { length: 4, byteLength: 4, BYTES_PER_ELEMENT: 1, constructor: Uint8Array },
    Object.create(Uint8Array.prototype),
    Object.assign([1, 2], { byteLength: 2 }),
    new DataView(new ArrayBuffer(4)),
    new ArrayBuffer(4),
    "text",
    null,
    undefined,
  ];
  for (const fake of fakes as Uint8Array[]) {
    assertThrows(() => slice.copyTo(fake), TypeError);
    assertThrows(() => slice.copyFrom(fake), TypeError);
  }
  assertEquals(slice.readObj(bytes(16), 0), count(16));
});

Deno.test("Cursor with a peek or an advance of its own moves by what is copied", () => {
  for (const make of Object.values(PLACES)) {
    using place = make();
    const cursor = new Cursor(count(8));
    Object.assign(cursor, {
      peek: () => new Uint8Array(64).fill(0xee),
      advance: () => 1000,
      next: () => 1000,
    });
    assertEquals(place.memory.readVolatileFrom(0, cursor, 6), 6);
    assertEquals(cursor.position, 6);
    assertEquals(place.slice.readObj(bytes(8), 0), Uint8Array.of(1, 2, 3, 4, 5, 6, 0, 0));
  }
});

Deno.test("Cursor with a readVolatile or a writeVolatile of its own is asked", () => {
  for (const make of Object.values(PLACES)) {
    using place = make();
    const cursor = new Cursor(count(8));
    let asked = 0;
    cursor.readVolatile = (slice) => {
      asked++;
      slice.write(Uint8Array.of(9), 0);
      return 1;
    };
    cursor.writeVolatile = () => {
      asked++;
      return 1;
    };
    assertEquals(place.memory.readVolatileFrom(0, cursor, 6), 1);
    assertEquals(place.memory.writeVolatileTo(0, cursor, 6), 1);
    assertEquals([asked, place.slice.readObj(u8, 0), cursor.position], [2, 9, 0]);
  }
});

Deno.test("Cursor at a position that is none is refused", () => {
  for (const position of [-1, 0.5, NaN, Infinity, 2 ** 53, "1", 1n, undefined, null] as number[]) {
    for (const make of Object.values(PLACES)) {
      using place = make();
      const cursor = new Cursor(count(8));
      cursor.position = position;
      assertThrows(() => place.memory.readVolatileFrom(0, cursor, 4), Error, "position");
      assertThrows(() => place.memory.writeVolatileTo(0, cursor, 4), Error, "position");
      assertEquals(place.slice.readObj(u8, 0), 0);
    }
  }
});
