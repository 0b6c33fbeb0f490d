/**
 * A thread without `SharedArrayBuffer`, as a web page that is not cross-origin isolated is one.
 *
 * @module
 */
import type { Bitmap } from "../../mod.ts";

const { SharedArrayBuffer } = globalThis;
delete (globalThis as { SharedArrayBuffer?: unknown }).SharedArrayBuffer;

// Only now, as the library may look when it is loaded.
const library = await import("../../mod.ts");
const { AtomicBitmap, BitmapSlice, GuestAddress, GuestMemoryHeap, GuestMemoryMmap, takeDirty, u8 } =
  library;

const bitmap = new AtomicBitmap(0x4000);
bitmap.markDirty(0xfff, 2);
bitmap.setBit(3);
const taken = new AtomicBitmap(0x4000);
bitmap.drainInto(taken, 0, 0x2000);
const runs = [[...bitmap.dirtyRuns()], [...taken.dirtyRuns()]];
bitmap.merge(taken);
bitmap.enlarge(0x1000);
bitmap.resetBit(0);
const log = [...bitmap.getAndReset()];

const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x4000]], {
  bitmap: (length) => new AtomicBitmap(length),
});
memory.writeObj(u8, 1, GuestAddress(0x2001));
const dirty = [...takeDirty(memory)];

const missing = !("SharedArrayBuffer" in globalThis);
// Mapping takes it, as only Deno can map, which always has it.
Object.assign(globalThis, { SharedArrayBuffer });

const refusals: string[] = [];
const bitmaps: Bitmap[] = [bitmap, new BitmapSlice(bitmap, 0x1000)];
for (const tracking of bitmaps) {
  const options = { bitmap: () => tracking };
  const mapped = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x1000]], options);
  try {
    mapped.share();
  } catch (error) {
    refusals.push(String(error));
  }
  mapped.close();
}

(globalThis as unknown as { postMessage(message: unknown): void }).postMessage({
  missing,
  shared: bitmap.buffer instanceof ArrayBuffer,
  runs,
  log,
  dirty,
  refusals,
});
