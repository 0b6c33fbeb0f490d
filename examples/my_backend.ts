/**
 * A backend of your own: memory that takes space only where it was written.
 *
 * Its bytes are in pages that are nowhere in one piece, so `read` and `write` are all it has, and
 * atomics throw. See how fast it is:
 *
 *     deno task bench:backend --backend examples/my_backend.ts
 *
 * @module
 */
import {
  type Bitmap,
  GuestAddress,
  GuestMemoryRegion,
  GuestRegionCollection,
  type MemoryRegionAddress,
  NoBitmap,
} from "@vmm/guest-memory";
import type { Backend } from "@vmm/guest-memory/bench";

const PAGE = 64 * 1024;
const ZEROS = new Uint8Array(PAGE);

class SparseRegion extends GuestMemoryRegion {
  readonly startAddr: GuestAddress = GuestAddress(0);
  readonly bitmap: Bitmap = NoBitmap;
  readonly len: number;
  readonly #pages = new Map<number, Uint8Array>();

  constructor(len: number) {
    super();
    this.len = len;
  }

  override read(buf: Uint8Array, addr: MemoryRegionAddress): number {
    return this.#forEachPage(buf, addr, (part, page, offset) => {
      part.set((this.#pages.get(page) ?? ZEROS).subarray(offset, offset + part.length));
    });
  }

  override write(buf: Uint8Array, addr: MemoryRegionAddress): number {
    const count = this.#forEachPage(buf, addr, (part, page, offset) => {
      if (!this.#pages.has(page)) this.#pages.set(page, new Uint8Array(PAGE));
      this.#pages.get(page)!.set(part, offset);
    });
    this.bitmap.markDirty(addr, count);
    return count;
  }

  #forEachPage(buf: Uint8Array, addr: number, copy: CopyPart): number {
    const count = Math.min(buf.length, this.len - addr);
    for (let done = 0; done < count;) {
      const offset = (addr + done) % PAGE;
      const part = buf.subarray(done, Math.min(count, done + PAGE - offset));
      copy(part, Math.floor((addr + done) / PAGE), offset);
      done += part.length;
    }
    return count;
  }
}

type CopyPart = (part: Uint8Array, page: number, offset: number) => void;

const backend: Backend = {
  name: "sparse pages",
  make: (size) => GuestRegionCollection.fromRegions([new SparseRegion(size)]),
};

export default backend;
