/**
 * Which pages were written: what a live migration sends in each round, and a diff has in it. Run it
 * with `deno run --allow-ffi examples/dirty_pages.ts`.
 *
 * @module
 */
import { AtomicBitmap, GuestAddress, GuestMemoryMmap, takeDirty, u64le } from "@vmm/guest-memory";

const RANGES = [[GuestAddress(0), 2 ** 26], [GuestAddress(2 ** 32), 2 ** 26]] as const;

// A bit for each page of 4 KiB. Every write through the library marks it, on any thread.
using source = GuestMemoryMmap.fromRanges(RANGES, {
  bitmap: (length) => new AtomicBitmap(length, 4096),
});
using copy = GuestMemoryMmap.fromRanges(RANGES);

source.writeSlice(new Uint8Array(10_000).fill(1), GuestAddress(0x1ff0));
source.writeObj(u64le, 42n, GuestAddress(2 ** 32 + 0x5000));
sendChanges("First round");

source.writeObj(u64le, 43n, GuestAddress(2 ** 32 + 0x5000));
sendChanges("Second round");

sendChanges("Third round");
console.log(
  `The copy has ${copy.readObj(u64le, GuestAddress(2 ** 32 + 0x5000))} at 4 GiB + 0x5000`,
);

function sendChanges(round: string): void {
  // Takes the marks: what is written from now on is marked again, for the next round.
  using dirty = takeDirty(source);
  console.log(`${round}: ${dirty.bytes} bytes`);
  try {
    for (const [start, length] of dirty) {
      const bytes = new Uint8Array(length);
      source.readSlice(bytes, start);
      copy.writeSlice(bytes, start);
      console.log(`  0x${start.toString(16)}: ${length} bytes`);
    }
  } catch (error) {
    dirty.putBack(); // Otherwise the marks of what was not sent are lost.
    throw error;
  }
}
