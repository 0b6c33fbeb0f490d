import { assert, assertEquals, assertThrows } from "@std/assert";
import { closeSync, openSync } from "node:fs";
import {
  Fd,
  GuestMemoryMmap,
  HostMemory,
  MemoryClosed,
  MmapRegion,
  Permissions,
  u8,
  VolatileMemoryError,
  VolatileSlice,
} from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { open, openFile } from "../../support/posix.ts";
import { count, gpa } from "../../support/values.ts";

const PAGE = 4096;

// A slice of one page whose length grows when it was asked often enough.
class GrowingSlice extends VolatileSlice {
  static of(slice: VolatileSlice, honest: number): GrowingSlice {
    const growing = new GrowingSlice(slice.memory, slice.start, slice.len);
    let asked = 0;
    Object.defineProperty(growing, "len", {
      get: () => asked++ < honest ? slice.len : 3 * PAGE,
    });
    return growing;
  }
}

linuxTest("Fd reads a slice's length once, and never writes beyond its memory", () => {
  const zero = openSync("/dev/zero", "r");
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), PAGE], [gpa(PAGE), 4 * PAGE]]);
  for (let honest = 0; honest < 4; honest++) {
    for (const vectored of [false, true]) {
      memory.writeSlice(new Uint8Array(5 * PAGE).fill(0x11), gpa(0));
      const slice = GrowingSlice.of(memory.getSlice(gpa(0), PAGE), honest);
      const fd = new Fd(zero);
      const read = () => vectored ? fd.readVectoredVolatile([slice]) : fd.readVolatile(slice);
      if (honest === 0) assertThrows(read);
      else assertEquals(read(), PAGE);
      const next = new Uint8Array(4 * PAGE);
      memory.readSlice(next, gpa(PAGE));
      assert(next.every((byte) => byte === 0x11), `${honest} ${vectored}`);
    }
  }
  closeSync(zero);
});

linuxTest(
  "PositionedFd has its position from before a slice is asked, which may transfer too",
  () => {
    using file = openFile(count(16));
    using region = new MmapRegion(PAGE);
    for (const vectored of [false, true]) {
      const stream = new Fd(file.fd).at(4);
      const slice = region.getSlice(0, 2);
      const asked: number[] = [];
      const asking = Object.defineProperty(region.getSlice(2, 2), "len", {
        get() {
          if (asked.length === 0) asked.push(stream.readVolatile(slice));
          return 2;
        },
      });
      assertEquals(
        vectored ? stream.readVectoredVolatile([asking]) : stream.readVolatile(asking),
        2,
      );
      assertEquals([asked, stream.position], [[2], 6]);
      assertEquals([...region.asVolatileSlice().rawView().subarray(0, 4)], [5, 6, 5, 6]);
    }
  },
);

// A slice whose length is a getter of the caller.
function asking(slice: VolatileSlice, onLength: () => void): VolatileSlice {
  const copy = new VolatileSlice(slice.memory, slice.start, slice.len);
  return Object.defineProperty(copy, "len", { get: () => (onLength(), slice.len) });
}

linuxTest("Fd checks all memories after the last slice was asked", () => {
  using zero = open("/dev/zero", "r");
  using sink = open("/dev/null", "w");
  for (const closer of [0, 1, 2]) {
    for (const write of [false, true]) {
      const regions = [0, 1, 2].map(() => new MmapRegion(PAGE));
      const slices = regions.map((region, i) =>
        asking(region.asVolatileSlice(), () => i === closer && regions[0]!.close())
      );
      assertThrows(
        () =>
          write
            ? new Fd(sink.fd).writeVectoredVolatile(slices)
            : new Fd(zero.fd).readVectoredVolatile(slices),
        MemoryClosed,
      );
      for (const region of regions) region.close();
    }
  }
});

linuxTest("Fd in a slice's getter has a vector to itself", () => {
  using zero = open("/dev/zero", "r");
  const fd = new Fd(zero.fd);
  using outer = new MmapRegion(PAGE);
  using inner = new MmapRegion(PAGE);
  const rest = outer.asVolatileSlice().offset(16);
  for (const region of [outer, inner]) region.asVolatileSlice().rawView().fill(0x11);
  const others = [inner.getSlice(0, 8), inner.getSlice(100, 8)];
  const nested = asking(outer.getSlice(8, 8), () => fd.readVectoredVolatile(others));
  assertEquals(fd.readVectoredVolatile([outer.getSlice(0, 8), nested]), 16);
  assertEquals(outer.asVolatileSlice().rawView().subarray(0, 16), new Uint8Array(16));
  assert(rest.rawView().every((byte) => byte === 0x11));
  assertEquals(inner.asVolatileSlice().rawView().filter((byte) => byte === 0).length, 16);
});

linuxTest("Fd believes no memory that says of itself what it likes", () => {
  using zero = open("/dev/zero", "r");
  const fd = new Fd(zero.fd);
  const answers = {
    permits: () => true,
    canAccess: () => true,
    openLength: 2 ** 40,
    length: 2 ** 40,
    closed: false,
  };
  using target = new MmapRegion(PAGE);
  target.asVolatileSlice().rawView().fill(0x11);
  const address = Number(target.hostAddress());
  using mapped = new MmapRegion(PAGE, { protection: Permissions.Read });
  const closed = new MmapRegion(PAGE);
  const memories = [
    mapped.asVolatileSlice().memory,
    closed.asVolatileSlice().memory,
    new HostMemory(new ArrayBuffer(16)),
  ];
  closed.close();
  for (const memory of memories) {
    const slice = new VolatileSlice(memory, 0, memory.u8.length);
    for (const [name, value] of Object.entries({ ...answers, address })) {
      // Memory that is mapped takes no new property.
      Reflect.defineProperty(memory, name, { value });
    }
    Object.defineProperty(slice, "len", { value: PAGE });
    // Refused before the call. What the memory says decides only by which error.
    assertThrows(() => fd.readVolatile(slice), VolatileMemoryError);
    assertThrows(() => fd.readVectoredVolatile([slice, slice]), VolatileMemoryError);
  }
  assert(target.asVolatileSlice().rawView().every((byte) => byte === 0x11));
});

linuxTest("Fd uses memory of the heap as it is, not as its array says", () => {
  using zero = open("/dev/zero", "r");
  const buffer = new ArrayBuffer(64);
  new Uint8Array(buffer).fill(0x11);
  class Longer extends Uint8Array {
    override get length(): number {
      return 64;
    }
    override get byteLength(): number {
      return 64;
    }
  }
  const memory = new HostMemory(buffer);
  const slice = new VolatileSlice(memory, 8, 16);
  Object.defineProperty(memory, "u8", { value: new Longer(buffer, 0, 16) });
  const fd = new Fd(zero.fd);
  for (const read of [() => fd.readVolatile(slice), () => fd.readVectoredVolatile([slice])]) {
    assertThrows(read);
    assert(new Uint8Array(buffer).every((byte) => byte === 0x11));
  }
});

linuxTest("Fd refuses a start that is no number, or outside the memory", () => {
  using zero = open("/dev/zero", "r");
  using region = new MmapRegion(PAGE);
  const fd = new Fd(zero.fd);
  for (const start of [{ valueOf: () => 0 }, "0", -1, 0.5, NaN, 2 ** 53]) {
    const slice = Object.defineProperty(region.getSlice(0, 8), "start", { value: start });
    assertThrows(() => fd.readVolatile(slice));
    assertThrows(() => fd.readVectoredVolatile([slice]));
  }
});

linuxTest("Fd has the descriptor that it was made of, whatever is defined on it", () => {
  using file = openFile(count(16));
  using other = openFile(count(16, 101));
  using region = new MmapRegion(PAGE);
  class Other extends Fd {
    override get fd(): number {
      return other.fd;
    }
  }
  const redefined = Object.defineProperty(new Fd(file.fd), "fd", { value: other.fd });
  for (const [i, fd] of [new Other(file.fd), redefined].entries()) {
    assertEquals(fd.readVolatile(region.getSlice(0, 2)), 2);
    assertEquals(fd.readVectoredVolatile([region.getSlice(2, 1), region.getSlice(3, 1)]), 2);
    assertEquals([...region.asVolatileSlice().rawView().subarray(0, 4)], [...count(4, 4 * i + 1)]);
  }
  assertEquals([file.position, other.position], [8, 0]);
});

linuxTest("PositionedFd has the position that it keeps, whatever is defined on it", () => {
  using file = openFile(count(16));
  using region = new MmapRegion(PAGE);
  const slice = region.getSlice(0, 4);
  const stream = Object.defineProperties(new Fd(file.fd).at(4), {
    position: { value: 2 ** 64 },
    fd: { value: 2 ** 31 - 1 },
  });
  assertEquals([stream.readVolatile(slice), slice.readObj(u8, 0)], [4, 5]);
  assertEquals([stream.readVectoredVolatile([slice, slice]), slice.readObj(u8, 0)], [8, 13]);
  assertEquals([stream.readVolatile(slice), file.position], [0, 0]);
});
