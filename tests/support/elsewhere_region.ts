import {
  type Bitmap,
  GuestAddress,
  GuestMemoryRegion,
  type MemoryRegionAddress,
  NoBitmap,
  OutOfBounds,
} from "../../mod.ts";

/** A region whose bytes are not host memory: all that it has is `read` and `write`. */
export class ElsewhereRegion<B extends Bitmap = Bitmap> extends GuestMemoryRegion {
  readonly startAddr: GuestAddress;
  readonly len: number;
  readonly bitmap: B;
  /** The bytes, which no slice gives away. */
  readonly content: Uint8Array;
  /** How often it was asked to read and to write. */
  readonly asked: { read: number; write: number } = { read: 0, write: 0 };

  constructor(startAddr: number, len: number, bitmap: B = NoBitmap as B) {
    super();
    this.startAddr = GuestAddress(startAddr);
    this.len = len;
    this.bitmap = bitmap;
    this.content = new Uint8Array(len);
  }

  override read(buf: Uint8Array, addr: MemoryRegionAddress): number {
    this.asked.read++;
    const count = this.#clamp(buf.length, addr);
    buf.set(this.content.subarray(addr, addr + count));
    return count;
  }

  override write(buf: Uint8Array, addr: MemoryRegionAddress): number {
    this.asked.write++;
    const count = this.#clamp(buf.length, addr);
    this.content.set(buf.subarray(0, count), addr);
    this.bitmap.markDirty(addr, count);
    return count;
  }

  #clamp(count: number, addr: number): number {
    if (count === 0) return 0;
    if (!(addr >= 0 && addr < this.len)) throw new OutOfBounds(addr, this.len);
    return Math.min(count, this.len - addr);
  }
}
