import { assertEquals, assertThrows } from "@std/assert";
import { addressOf } from "../../../ffi/io.ts";
import {
  AccessDenied,
  MemoryClosed,
  MmapRegion,
  Permissions,
  VolatileSlice,
} from "../../../mod.ts";
import { addressIn, locate, pieceOf } from "../../../src/backend/mmap/host_address.ts";
import { linuxTest } from "../../support/linux_test.ts";

linuxTest("addressIn() and locate() are the host address of a slice's first byte", () => {
  using region = new MmapRegion(0x1000);
  const slice = region.getSlice(0x123, 4);
  const address = Number(region.hostAddress()) + 0x123;
  assertEquals([addressIn(slice, 4, "read"), locate(pieceOf(slice, "write"), "write")], [
    address,
    address,
  ]);
  const bytes = new Uint8Array(new ArrayBuffer(32), 8);
  const heap = VolatileSlice.from(bytes).offset(3);
  assertEquals(addressIn(heap, heap.len, "read"), addressOf(bytes) + 3);
  assertEquals(locate(pieceOf(heap, "read"), "read"), addressOf(bytes) + 3);
});

linuxTest("locate() refuses memory that was closed since it was asked", () => {
  const region = new MmapRegion(0x1000);
  const slice = region.getSlice(0, 4);
  const piece = pieceOf(slice, "read");
  region.close();
  assertThrows(() => locate(piece, "read"), MemoryClosed);
  assertThrows(() => addressIn(slice, 4, "read"), MemoryClosed);
});

linuxTest("addressIn() and locate() keep the protection", () => {
  using region = new MmapRegion(0x1000, { protection: Permissions.Read });
  const slice = region.getSlice(0, 4);
  assertThrows(() => addressIn(slice, 4, "write"), AccessDenied);
  assertThrows(() => locate(pieceOf(slice, "write"), "write"), AccessDenied);
  assertEquals(addressIn(slice, 4, "read"), Number(region.hostAddress()));
});
