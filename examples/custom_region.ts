/**
 * A region whose bytes are elsewhere, here in a flash device with pages, in the same map as RAM. Run
 * it with `deno run examples/custom_region.ts`: it needs no permission.
 *
 * @module
 */
import {
  GuestAddress,
  GuestMemoryRegion,
  GuestRegionCollection,
  GuestRegionHeap,
  HostAddressNotAvailable,
  type MemoryRegionAddress,
  NoBitmap,
  u32le,
} from "@vmm/guest-memory";

const PAGE = 256;

/** 4 KiB of flash. An access may end early, as these do at a page: the map asks for the rest. */
class FlashRegion extends GuestMemoryRegion {
  readonly startAddr = GuestAddress(0x1000);
  readonly len = 0x1000;
  readonly bitmap = NoBitmap;
  readonly #pages = Array.from({ length: 16 }, () => new Uint8Array(PAGE).fill(0xff));

  override read(buf: Uint8Array, offset: MemoryRegionAddress): number {
    const page = this.#pages[Math.floor(offset / PAGE)]!;
    const bytes = page.subarray(offset % PAGE).subarray(0, buf.length);
    buf.set(bytes);
    return bytes.length;
  }

  override write(buf: Uint8Array, offset: MemoryRegionAddress): number {
    const page = this.#pages[Math.floor(offset / PAGE)]!;
    const bytes = buf.subarray(0, PAGE - offset % PAGE);
    page.set(bytes, offset % PAGE);
    this.bitmap.markDirty(offset, bytes.length); // A region that writes also marks.
    console.log(`  flash: ${bytes.length} bytes written at offset 0x${offset.toString(16)}`);
    return bytes.length;
  }
}

const ram = new GuestRegionHeap(GuestAddress(0), 0x1000);
using memory = GuestRegionCollection.fromRegions([ram, new FlashRegion()]);
for (const region of memory) console.log(`${region}`);

console.log("A value of 4 bytes across the boundary, 2 of them in RAM");
memory.writeObj(u32le, 0x12345678, GuestAddress(0xffe));
console.log(`  read again: 0x${memory.readObj(u32le, GuestAddress(0xffe)).toString(16)}`);
console.log("600 bytes at 0x1100");
memory.writeSlice(new Uint8Array(600), GuestAddress(0x1100));

try {
  memory.load(u32le, GuestAddress(0x1000)); // Atomics and slices need host memory.
} catch (error) {
  if (!(error instanceof HostAddressNotAvailable)) throw error;
  console.log(`${error.name}: ${error.message}`);
}
