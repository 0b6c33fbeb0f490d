import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  type Bitmap,
  BitmapGroup,
  Fd,
  GuestAddress,
  type GuestMemory,
  GuestMemoryHeap,
  GuestMemoryMmap,
  u32,
} from "../../mod.ts";
import { forAll } from "../../src/bitmap/bitmap.ts";
import { linuxTest } from "../support/linux_test.ts";
import { openFile } from "../support/posix.ts";
import { RecordingBitmap } from "../support/recording_bitmap.ts";

const A = GuestAddress;

// Does something at each mark.
function acting(act: () => void): Bitmap {
  const bitmap: Bitmap = { markDirty: act, dirtyAt: () => false, sliceAt: () => bitmap };
  return bitmap;
}

function failing(error: unknown): Bitmap {
  return acting(() => {
    throw error;
  });
}

Deno.test("BitmapGroup members that leave while marks are passed on cost no other its mark", () => {
  for (const leaves of [0, 1, 2]) {
    const others = [new RecordingBitmap(), new RecordingBitmap()];
    const group = new BitmapGroup();
    const leaving = acting(() => group.delete(leaving));
    const members = [...others.slice(0, leaves), leaving, ...others.slice(leaves)];
    for (const member of members) group.add(member);
    group.markDirty(4, 8);
    assertEquals(others.map((other) => other.take()), [[[4, 8]], [[4, 8]]]);
    group.sliceAt(16).markDirty(0, 1);
    assertEquals(others.map((other) => other.take()), [[[16, 1]], [[16, 1]]]);
  }
});

Deno.test("BitmapGroup members that throw out the next one cost it no mark that was begun", () => {
  const second = new RecordingBitmap();
  const group = new BitmapGroup([acting(() => group.delete(second)), second]);
  group.markDirty(0, 1);
  assertEquals(second.take(), [[0, 1]]);
  group.markDirty(0, 1);
  assertEquals(second.take(), []);
});

Deno.test("BitmapGroup members that join while marks are passed on get the next mark", () => {
  const late = new RecordingBitmap();
  let joined = false;
  const group = new BitmapGroup([
    acting(() => {
      if (!joined) group.add(late);
      joined = true;
    }),
  ]);
  group.markDirty(0, 1);
  assertEquals(late.take(), []);
  group.markDirty(2, 1);
  assertEquals(late.take(), [[2, 1]]);
});

Deno.test("BitmapGroup members that throw cost no other its mark, and the first error comes out", () => {
  const errors = [new Error("first"), new Error("second")];
  for (const position of [0, 1, 2]) {
    const others = [new RecordingBitmap(), new RecordingBitmap()];
    const before = others.slice(0, position);
    const rest = others.slice(position);
    const group = new BitmapGroup([...before, failing(errors[0]), ...rest, failing(errors[1])]);
    const slice = group.sliceAt(0);
    for (const bitmap of [group, slice]) {
      assertStrictEquals(assertThrows(() => bitmap.markDirty(0, 4)), errors[0]);
      assertEquals(others.map((other) => other.take()), [[[0, 4]], [[0, 4]]]);
    }
  }
});

Deno.test("forAll() calls for every item and throws the first error, whatever it is", () => {
  const seen: number[] = [];
  forAll([1, 2], (item) => seen.push(item));
  const thrown = (call: () => void) => {
    try {
      call();
    } catch (error) {
      return [error];
    }
  };
  const caught = thrown(() =>
    forAll([3, 4, 5], (item) => {
      seen.push(item);
      if (item === 3) throw undefined;
      throw item;
    })
  );
  assertEquals([seen, caught], [[1, 2, 3, 4, 5], [undefined]]);
});

const MAKERS: Record<
  string,
  (bitmap: (length: number, start: number) => Bitmap) => GuestMemory & Disposable
> = {
  heap: (bitmap) => GuestMemoryHeap.fromRanges([[A(0), 16], [A(16), 16]], { bitmap }),
  mapped: (bitmap) => GuestMemoryMmap.fromRanges([[A(0), 16], [A(16), 16]], { bitmap }),
};
for (const [name, make] of Object.entries(MAKERS)) {
  Deno.test(`a bitmap that throws lets the write be done: ${name}`, () => {
    using memory = make(() => failing(new Error("no marks")));
    assertThrows(() => memory.writeObj(u32, 7, A(0)), Error, "no marks");
    assertThrows(() => memory.write(Uint8Array.of(1), A(4)), Error, "no marks");
    assertThrows(() => memory.store(u32, 9, A(8)), Error, "no marks");
    const read = [A(0), A(4), A(8)].map((at) => memory.readObj(u32, at));
    assertEquals(read, [7, 1, 9]);
  });

  for (const broken of [0, 16]) {
    linuxTest(`Fd over two regions marks one where the bitmap at ${broken} throws: ${name}`, () => {
      const good = new AtomicBitmap(16, 1);
      using memory = make((_, start) => start === broken ? failing(new Error("no marks")) : good);
      using file = openFile(new Uint8Array(32).fill(1));
      assertThrows(() => memory.readVolatileFrom(A(0), new Fd(file.fd), 32));
      assertEquals(memory.readObj(u32, A(28)), 0x01010101);
      assertEquals([...good.dirtyRuns()], [[0, 16]]);
    });

    linuxTest(`Fd that fails marks one where the bitmap at ${broken} throws: ${name}`, () => {
      const good = new AtomicBitmap(16, 1);
      using memory = make((_, start) => start === broken ? failing(new Error("no marks")) : good);
      assertThrows(() => memory.readVolatileFrom(A(0), new Fd(2 ** 31 - 1), 32));
      assertEquals([...good.dirtyRuns()], [[0, 16]]);
    });
  }
}
