import { assertEquals, assertThrows } from "@std/assert";
import {
  array,
  bytes,
  type ByteValued,
  Cursor,
  f64,
  GuestAddress,
  GuestMemoryHeap,
  GuestRegionCollection,
  GuestRegionHeap,
  IOError,
  MemoryClosed,
  struct,
  type TypedArray,
  u16,
  u32,
  u64,
  u8,
} from "../../mod.ts";
import { PLACES } from "../support/places.ts";

const A = GuestAddress;

const FIELDS = { a: u8, b: u32, c: u64, d: bytes(3), e: f64 };
const VALUE = { a: 1, b: 2, c: 3n, d: new Uint8Array(3), e: 1.5 };
const LAYOUTS = { aligned: struct(FIELDS), packed: struct(FIELDS, { packed: true }) };

for (const [where, make] of Object.entries(PLACES)) {
  for (const [layout, codec] of Object.entries(LAYOUTS)) {
    for (const field of Object.keys(FIELDS) as (keyof typeof FIELDS)[]) {
      Deno.test(`writeObj() whose field ${field} closes is MemoryClosed: ${layout}, ${where}`, () => {
        // At multiples of 8 in host memory and not, inside.
        for (const at of [0, 1]) {
          using place = make();
          if (at + codec.byteLength > 32) continue;
          const value = Object.defineProperty({ ...VALUE }, field, {
            get() {
              place.close();
              return VALUE[field];
            },
          });
          assertThrows(() => place.memory.writeObj(codec, value, at), MemoryClosed);
          assertThrows(() => place.memory.readObj(u8, 0), MemoryClosed);
        }
      });
    }
  }

  Deno.test(`readObj() whose codec closes is MemoryClosed: ${where}`, () => {
    for (const next of [u8, u16, u32, u64, f64, bytes(4), array(u16, 3)] as ByteValued<unknown>[]) {
      for (const packed of [false, true]) {
        using place = make();
        const closing: ByteValued<number> = {
          byteLength: 1,
          alignment: 1,
          read() {
            place.close();
            return 1;
          },
          write: () => place.close(),
        };
        const codec = struct({ closing, next }, { packed });
        assertThrows(() => place.memory.readObj(codec, 0), MemoryClosed);
      }
    }
  });

  Deno.test(`writeObj() of an array whose element closes is MemoryClosed: ${where}`, () => {
    for (const at of [0, 1]) {
      using place = make();
      const value = Object.defineProperty([1, 2, 3], 1, {
        get() {
          place.close();
          return 2;
        },
      });
      assertThrows(() => place.memory.writeObj(array(u32, 3), value, at), MemoryClosed);
    }
  });

  Deno.test(`a stream that closes the memory is MemoryClosed: ${where}`, () => {
    for (const exact of [false, true]) {
      using filled = make();
      const source = {
        readSync: () => {
          filled.close();
          return 4;
        },
      };
      assertThrows(
        () =>
          exact
            ? filled.memory.readExactVolatileFrom(0, source, 8)
            : filled.memory.readVolatileFrom(0, source, 8),
        MemoryClosed,
      );
      using emptied = make();
      const sink = {
        writeSync: () => {
          emptied.close();
          return 4;
        },
      };
      if (exact) assertThrows(() => emptied.memory.writeAllVolatileTo(0, sink, 8), MemoryClosed);
    }
  });

  for (const stream of ["readVolatile", "readSync", "writeVolatile", "writeSync"]) {
    Deno.test(`a ${stream} that is interrupted for ever fails after 1,000 calls: ${where}`, () => {
      for (const kind of [{ name: "Interrupted" }, { code: "EINTR" }]) {
        using place = make();
        let calls = 0;
        const cause = Object.assign(new Error("signal"), kind);
        const endless = {
          [stream]: () => {
            calls++;
            throw cause;
          },
        } as never;
        const error = assertThrows(
          () =>
            stream.startsWith("read")
              ? place.memory.readVolatileFrom(0, endless, 8)
              : place.memory.writeVolatileTo(0, endless, 8),
          IOError,
        );
        assertEquals([error.kind, error.cause, calls], ["Other", cause, 1000]);
      }
    });

    Deno.test(`a ${stream} that is interrupted 999 times works: ${where}`, () => {
      using place = make();
      let calls = 0;
      const slow = {
        [stream]: () => {
          if (++calls === 1000) return 8;
          throw Object.assign(new Error("signal"), { name: "Interrupted" });
        },
      } as never;
      const { memory } = place;
      const done = stream.startsWith("read")
        ? memory.readVolatileFrom(0, slow, 8)
        : memory.writeVolatileTo(0, slow, 8);
      assertEquals([done, calls], [8, 1000]);
    });
  }
}

Deno.test("an Interrupted error over several regions fails after 1,000 calls", () => {
  using memory = GuestMemoryHeap.fromRanges([[A(0), 16], [A(16), 16]]);
  let calls = 0;
  const fail = (): never => {
    calls++;
    throw Object.assign(new Error("signal"), { name: "Interrupted" });
  };
  const stream = {
    readVolatile: fail,
    readVectoredVolatile: fail,
    writeVolatile: fail,
    writeVectoredVolatile: fail,
  };
  assertThrows(() => memory.readVolatileFrom(A(8), stream, 16), IOError);
  assertEquals(calls, 1000);
  assertThrows(() => memory.writeVolatileTo(A(8), stream, 16), IOError);
  assertEquals(calls, 2000);
});

// What makes a region's buffer too small, or takes it away.
const LOSSES: Record<string, () => [ArrayBuffer, () => void]> = {
  transferred: () => {
    const buffer = new ArrayBuffer(32);
    return [buffer, () => void buffer.transfer()];
  },
  "shrunk by a byte": () => {
    const buffer = new ArrayBuffer(32, { maxByteLength: 64 });
    return [buffer, () => buffer.resize(31)];
  },
  "shrunk to nothing": () => {
    const buffer = new ArrayBuffer(32, { maxByteLength: 64 });
    return [buffer, () => buffer.resize(0)];
  },
};
for (const [how, make] of Object.entries(LOSSES)) {
  for (const level of ["slice", "region", "map"] as const) {
    Deno.test(`a ${level} on the heap whose buffer was ${how} is MemoryClosed everywhere`, () => {
      const [buffer, lose] = make();
      const region = new GuestRegionHeap(A(0), buffer);
      using map = GuestRegionCollection.fromRegions([region]);
      const slice = region.asVolatileSlice();
      const memory = { slice, region, map }[level] as unknown as typeof slice;
      const reference = memory.getAtomicRef(u32, 0);
      const small = slice.getSlice(4, 8);
      lose();
      const cursor = new Cursor(new Uint8Array(8));
      const deno = { readSync: () => 1, writeSync: () => 1 };
      const buf = new Uint8Array(4);
      const calls: Record<string, () => unknown> = {
        read: () => memory.read(buf, 0),
        write: () => memory.write(buf, 0),
        readSlice: () => memory.readSlice(buf, 0),
        writeSlice: () => memory.writeSlice(buf, 0),
        readObj: () => memory.readObj(u32, 0),
        readUnaligned: () => memory.readObj(u32, 1),
        writeObj: () => memory.writeObj(bytes(4), buf, 0),
        load: () => memory.load(u32, 0),
        store: () => memory.store(u32, 1, 0),
        readVolatileFrom: () => memory.readVolatileFrom(0, cursor, 4),
        readSync: () => memory.readVolatileFrom(0, deno, 4),
        readExactVolatileFrom: () => memory.readExactVolatileFrom(0, cursor, 4),
        writeVolatileTo: () => memory.writeVolatileTo(0, cursor, 4),
        writeSync: () => memory.writeVolatileTo(0, deno, 4),
        writeAllVolatileTo: () => memory.writeAllVolatileTo(0, cursor, 4),
        refLoad: () => reference.load(),
        refStore: () => reference.store(1),
        refAdd: () => reference.fetchAdd(1),
        newRef: () => memory.getAtomicRef(u32, 0).load(),
        copyTo: () => small.copyTo(buf as TypedArray),
        copyFrom: () => small.copyFrom(buf as TypedArray),
        copySlice: () => small.copyToVolatileSlice(new GuestRegionHeap(A(0), 8).asVolatileSlice()),
        copyInto: () => new GuestRegionHeap(A(0), 8).asVolatileSlice().copyToVolatileSlice(small),
        rawView: () => small.rawView(),
        readOnlyView: () => small.readOnlyView(),
      };
      for (const [name, call] of Object.entries(calls)) {
        assertThrows(call, MemoryClosed, undefined, name);
      }
      assertEquals(cursor.position, 0);
    });
  }
}

for (const [how, make] of Object.entries(LOSSES)) {
  Deno.test(`a value in whose middle the buffer on the heap is ${how} is MemoryClosed`, () => {
    for (const codec of Object.values(LAYOUTS)) {
      for (const field of Object.keys(FIELDS) as (keyof typeof FIELDS)[]) {
        const [buffer, lose] = make();
        using memory = GuestRegionCollection.fromRegions([new GuestRegionHeap(A(0), buffer)]);
        const value = Object.defineProperty({ ...VALUE }, field, {
          get() {
            lose();
            return VALUE[field];
          },
        });
        assertThrows(() => memory.writeObj(codec, value, A(0)), MemoryClosed, undefined, field);
      }
    }
  });
}

Deno.test("a region in a growable SharedArrayBuffer keeps its size", () => {
  const buffer = new SharedArrayBuffer(16, { maxByteLength: 64 });
  const region = new GuestRegionHeap(A(0), buffer);
  using memory = GuestRegionCollection.fromRegions([region]);
  buffer.grow(64);
  assertEquals([region.len, memory.read(new Uint8Array(64), A(0))], [16, 16]);
  memory.writeObj(u64, 7n, A(8));
  assertEquals(memory.readObj(u64, A(8)), 7n);
});
