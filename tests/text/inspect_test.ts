import { assertEquals } from "@std/assert";
import {
  type Bitmap,
  GuestMemoryHeap,
  GuestMemoryRegion,
  GuestRegionCollection,
  GuestRegionHeap,
  NoBitmap,
  VolatileSlice,
} from "../../mod.ts";
import { gpa } from "../support/values.ts";

Deno.test("Deno.inspect() of a region is one line", () => {
  assertEquals(
    Deno.inspect(new GuestRegionHeap(gpa(0x1000), 0x1000)),
    "GuestRegionHeap 0x1000-0x1fff 4 KiB heap",
  );
  assertEquals(
    Deno.inspect(new GuestRegionHeap(gpa(2 ** 53 - 100), 100, { shared: true })),
    "GuestRegionHeap 0x1fffffffffff9c-0x1fffffffffffff 100 B shared heap",
  );
});

Deno.test("Deno.inspect() of a closed region says so", () => {
  const region = new GuestRegionHeap(gpa(0), 1536);
  region.close();
  assertEquals(Deno.inspect(region), "GuestRegionHeap 0x0-0x5ff 1.5 KiB heap (closed)");
});

Deno.test("Deno.inspect() of a custom region has its class and its range", () => {
  class Registers extends GuestMemoryRegion {
    readonly startAddr = gpa(0xfee0_0000);
    readonly len = 0x1000;
    readonly bitmap: Bitmap = NoBitmap;
  }
  assertEquals(Deno.inspect(new Registers()), "Registers 0xfee00000-0xfee00fff 4 KiB");
});

Deno.test("Deno.inspect() of memory is a table of its regions and holes", () => {
  const memory = GuestMemoryHeap.fromRanges([
    [gpa(0), 0x1000],
    [gpa(0x1000), 0x1000],
    [gpa(0x10_0000), 0x10_0000],
  ]);
  assertEquals(
    Deno.inspect(memory),
    [
      "GuestRegionCollection 1.0 MiB in 3 regions",
      "  GuestRegionHeap 0x0-0xfff 4 KiB heap",
      "  GuestRegionHeap 0x1000-0x1fff 4 KiB heap",
      "  0x2000-0xfffff hole 1016 KiB",
      "  GuestRegionHeap 0x100000-0x1fffff 1 MiB heap",
    ].join("\n"),
  );
});

Deno.test("Deno.inspect() of memory counts one region in the singular", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0x1000), 10]]);
  assertEquals(
    Deno.inspect(memory),
    "GuestRegionCollection 10 B in 1 region\n  GuestRegionHeap 0x1000-0x1009 10 B heap",
  );
});

Deno.test("Deno.inspect() of empty and of closed memory is one line", () => {
  assertEquals(Deno.inspect(new GuestRegionCollection()), "GuestRegionCollection 0 B in 0 regions");
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), 16]]);
  memory.close();
  assertEquals(Deno.inspect(memory), "GuestRegionCollection (closed)");
});

Deno.test("Deno.inspect() of a slice is one line", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), 0x1000]]);
  const slice = memory.getSlice(gpa(0), 2048);
  assertEquals(Deno.inspect(slice), "VolatileSlice 2 KiB");
  assertEquals(Deno.inspect({ slice }), "{ slice: VolatileSlice 2 KiB }");
  memory.close();
  assertEquals(Deno.inspect(slice), "VolatileSlice 2 KiB (closed)");
  assertEquals(Deno.inspect(VolatileSlice.from(new Uint8Array(0))), "VolatileSlice 0 B");
});

Deno.test("String() and template literals show the same", () => {
  const region = new GuestRegionHeap(gpa(0), 16);
  assertEquals(`${region}`, Deno.inspect(region));
  const memory = GuestRegionCollection.fromRegions([region]);
  assertEquals(String(memory), Deno.inspect(memory));
  assertEquals(`${memory.getSlice(gpa(0), 4)}`, "VolatileSlice 4 B");
});
