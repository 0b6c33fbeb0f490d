import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  bytes,
  Cursor,
  InvalidBackendAddress,
  InvalidGuestAddress,
  Misaligned,
  PartialBuffer,
  u16,
  u32,
  u64,
  u8,
} from "../../mod.ts";
import { PLACES, SIZE } from "../support/places.ts";
import { count } from "../support/values.ts";

// What the interface Bytes promises, at every level: each has 32 bytes from address 0 on.
for (const [where, make] of Object.entries(PLACES)) {
  const outside = where.includes(" map") ? InvalidGuestAddress : InvalidBackendAddress;

  Deno.test(`an access of zero bytes succeeds at any address: ${where}`, () => {
    using place = make();
    const { memory } = place;
    const none = new Uint8Array(0);
    const cursor = new Cursor(new Uint8Array(4));
    for (const at of [0, 31, 32, 33, 2 ** 53 - 1]) {
      assertEquals([memory.read(none, at), memory.write(none, at)], [0, 0]);
      memory.readSlice(none, at);
      memory.writeSlice(none, at);
      assertEquals(memory.readObj(bytes(0), at), none);
      memory.writeObj(bytes(0), none, at);
      assertEquals(memory.readVolatileFrom(at, cursor, 0), 0);
      assertEquals(memory.writeVolatileTo(at, cursor, 0), 0);
      memory.readExactVolatileFrom(at, cursor, 0);
      memory.writeAllVolatileTo(at, cursor, 0);
    }
    assertEquals(cursor.position, 0);
  });

  Deno.test(`what begins outside is an error of its level: ${where}`, () => {
    using place = make();
    const { memory } = place;
    const cursor = new Cursor(new Uint8Array(4));
    for (const at of [32, 33, 1000, 2 ** 53 - 8]) {
      for (
        const access of [
          () => memory.read(new Uint8Array(4), at),
          () => memory.write(new Uint8Array(4), at),
          () => memory.readSlice(new Uint8Array(4), at),
          () => memory.writeSlice(new Uint8Array(4), at),
          () => memory.readObj(u32, at),
          () => memory.writeObj(u32, 1, at),
          () => memory.load(u8, at),
          () => memory.store(u8, 1, at),
          () => memory.getAtomicRef(u8, at),
          () => memory.readVolatileFrom(at, cursor, 4),
          () => memory.writeVolatileTo(at, cursor, 4),
          () => memory.readExactVolatileFrom(at, cursor, 4),
          () => memory.writeAllVolatileTo(at, cursor, 4),
        ]
      ) {
        // A slice's streams of no bytes at its very end are fine.
        if (at === 32 && outside === InvalidBackendAddress) {
          const error = attempt(access);
          assert(error === undefined || error instanceof InvalidBackendAddress, String(error));
        } else assertThrows(access, outside);
      }
    }
    assertEquals(cursor.position, 0);
  });

  Deno.test(`what begins inside and ends outside is cut short: ${where}`, () => {
    using place = make();
    const { memory, slice } = place;
    slice.copyFrom(count(SIZE));
    const buf = new Uint8Array(8);
    assertEquals([memory.read(buf, 29), [...buf]], [3, [30, 31, 32, 0, 0, 0, 0, 0]]);
    assertEquals([memory.write(count(8, 100), 30), slice.readObj(u16, 30)], [2, 101 * 256 + 100]);
    assertEquals(memory.readVolatileFrom(29, new Cursor(count(8, 50)), 8), 3);
    assertEquals(slice.readObj(bytes(4), 28), Uint8Array.of(29, 50, 51, 52));
    const sink = new Cursor(new Uint8Array(8));
    assertEquals(memory.writeVolatileTo(31, sink, 8), 1);
    assertEquals([sink.position, sink.bytes[0]], [1, 52]);
  });

  Deno.test(`the exact forms say how much was done, and did it: ${where}`, () => {
    const cases: Record<string, (place: ReturnType<typeof make>) => unknown> = {
      readSlice: ({ memory }) => memory.readSlice(new Uint8Array(8), 29),
      writeSlice: ({ memory }) => memory.writeSlice(count(8), 29),
      readObj: ({ memory }) => memory.readObj(u64, 29),
      writeObj: ({ memory }) => memory.writeObj(bytes(8), count(8), 29),
    };
    for (const [name, access] of Object.entries(cases)) {
      using place = make();
      const { expected, completed } = assertThrows(() => access(place), PartialBuffer);
      assertEquals([name, expected, completed], [name, 8, 3]);
      const written = name.startsWith("write") ? [1, 2, 3] : [0, 0, 0];
      assertEquals([...place.slice.readObj(bytes(3), 29)], written);
    }
    using place = make();
    const stream = new Cursor(count(8));
    const early = where.includes(" map") ? "PartialBuffer" : "OutOfBounds";
    for (
      const access of [
        () => place.memory.readExactVolatileFrom(29, stream, 8),
        () => place.memory.writeAllVolatileTo(29, stream, 8),
      ]
    ) assertEquals(assertThrows(access).name, early);
  });

  Deno.test(`load() and store() need a multiple of the size: ${where}`, () => {
    using place = make();
    const { memory } = place;
    for (const [codec, size] of [[u8, 1], [u16, 2], [u32, 4]] as const) {
      for (let at = 0; at <= 32 - size; at++) {
        if (at % size === 0) {
          memory.store(codec, 7, at);
          assertEquals(memory.load(codec, at), 7);
          assertEquals(memory.getAtomicRef(codec, at).exchange(0), 7);
          continue;
        }
        const { alignment } = assertThrows(() => memory.load(codec, at), Misaligned);
        assertEquals(alignment, size);
        assertThrows(() => memory.store(codec, 1, at), Misaligned);
        assertThrows(() => memory.getAtomicRef(codec, at), Misaligned);
      }
    }
    assertThrows(() => memory.load(u64, 28), InvalidBackendAddress);
  });

  for (const bad of ["0", 0n, undefined, null, Symbol("s"), {}, true] as unknown as number[]) {
    Deno.test(`${String(bad)} (${typeof bad}) is no address, value or count: ${where}`, () => {
      using place = make();
      const { memory, slice } = place;
      slice.copyFrom(count(SIZE));
      const cursor = new Cursor(new Uint8Array(4));
      const named: Record<string, (() => unknown)[]> = {
        addr: [
          () => memory.read(new Uint8Array(4), bad),
          () => memory.write(new Uint8Array(4), bad),
          () => memory.readSlice(new Uint8Array(4), bad),
          () => memory.writeSlice(new Uint8Array(4), bad),
          () => memory.readObj(u32, bad),
          () => memory.writeObj(u32, 1, bad),
        ],
        "addr or offset": [
          () => memory.load(u32, bad),
          () => memory.store(u32, 1, bad),
          () => memory.getAtomicRef(u32, bad),
          () => memory.readVolatileFrom(bad, cursor, 4),
          () => memory.readExactVolatileFrom(bad, cursor, 4),
          () => memory.writeVolatileTo(bad, cursor, 4),
          () => memory.writeAllVolatileTo(bad, cursor, 4),
        ],
        value: [
          () => memory.writeObj(u32, bad, 0),
          () => memory.writeObj(u32, bad, 1),
          () => memory.store(u32, bad, 0),
          () => memory.getAtomicRef(u32, 0).store(bad),
          () => memory.getAtomicRef(u32, 0).fetchAdd(bad),
        ],
        count: [
          () => memory.readVolatileFrom(0, cursor, bad),
          () => memory.readExactVolatileFrom(0, cursor, bad),
          () => memory.writeVolatileTo(0, cursor, bad),
          () => memory.writeAllVolatileTo(0, cursor, bad),
        ],
        buf: [
          () => memory.read(bad as unknown as Uint8Array, 0),
          () => memory.write(bad as unknown as Uint8Array, 0),
        ],
      };
      for (const [name, calls] of Object.entries(named)) {
        for (const [i, call] of calls.entries()) {
          const error = attempt(call);
          const what = `${name} ${i}: ${error}`;
          assert(error instanceof TypeError || error instanceof RangeError, what);
          // Of null and undefined, JavaScript says what cannot be read of them.
          if (name === "buf" && (bad === null || bad === undefined)) continue;
          assert(name.split(" or ").some((word) => error.message.includes(word)), what);
        }
      }
      assertEquals(slice.readObj(bytes(SIZE), 0), count(SIZE));
      assertEquals(cursor.position, 0);
    });
  }
}

function attempt(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
}
