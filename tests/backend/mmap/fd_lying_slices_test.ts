import { assert, assertEquals, assertThrows } from "@std/assert";
import { closeSync, openSync } from "node:fs";
import { Fd, GuestMemoryMmap, MemoryClosed, VolatileSlice } from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { gpa } from "../../support/values.ts";

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

linuxTest("Fd checks its position before anything else, and the memory after it", () => {
  const zero = openSync("/dev/zero", "r");
  const memory = GuestMemoryMmap.fromRanges([[gpa(0), PAGE]]);
  const slice = memory.getSlice(gpa(0), PAGE);
  for (const position of [-1, 0.5, NaN, { valueOf: () => 0 } as unknown as number]) {
    const fd = new Fd(zero, 0);
    fd.position = position;
    assertThrows(() => fd.readVolatile(slice));
    assertThrows(() => fd.readVectoredVolatile([slice]));
  }
  const closing = new Fd(zero, 0);
  Object.defineProperty(closing, "position", {
    get() {
      memory.close();
      return 0;
    },
  });
  assertThrows(() => closing.readVolatile(slice), MemoryClosed);
  assertThrows(() => closing.readVectoredVolatile([slice]), MemoryClosed);
  closeSync(zero);
});
