/**
 * A disk over a file, with many requests under way.
 *
 * @module
 */
import {
  GuestAddress,
  type GuestMemoryMmap,
  type GuestRegionMmap,
  type MemoryRegionAddress,
  NoBitmap,
  u8,
} from "@vmm/guest-memory";
import type { DescriptorChain, ReadablePart, WritablePart } from "@vmm/guest-memory/virtio";
import {
  BlockDevice,
  type Disk,
  type DiskOptions,
  type Head,
  headOf,
  type Image,
  type OnEnd,
} from "./block_device.ts";
import { MAX_SEGMENTS, SECTOR, Status, Type } from "./block_format.ts";
import { type HostPiece, IoUring, type TransferKind } from "./io_uring.ts";

const DEPTH = 128;
// The buffers of a request, and pieces where one crosses a boundary of regions.
const MAX_PIECES = 2 * MAX_SEGMENTS;
// asm-generic/errno-base.h
const EINVAL = 22;

/** A request that is under way. */
interface Pending {
  readonly chain: DescriptorChain;
  readonly head: Head;
  readonly readable: ReadablePart;
  readonly writable: WritablePart;
  readonly status: WritablePart;
  readonly written: number;
  /** Bytes that it transfers. */
  readonly length: number;
  /** Where a read goes to, for the dirty log. */
  readonly pieces: readonly Piece[];
}

/** A part of a region. */
interface Piece extends HostPiece {
  readonly region: GuestRegionMmap;
  /** Where it begins in the region. */
  readonly offset: number;
}

/**
 * Executes requests past the page cache, each as soon as the storage has done it. What the storage
 * cannot do from the guest's memory itself is executed by way of the page cache.
 */
export class DirectDevice implements Disk {
  readonly #image: Image;
  readonly #isWriteThrough: boolean;
  readonly #others: BlockDevice;
  readonly #ring: IoUring;
  readonly #pending: (Pending | undefined)[] = Array(DEPTH).fill(undefined);
  readonly #free: number[] = Array.from({ length: DEPTH }, (_, slot) => slot);
  // Where regions begin in the host. To ask takes longer than the rest of a request.
  readonly #starts = new WeakMap<GuestRegionMmap, number>();

  /**
   * Over an image.
   *
   * @param image The image, which stays the caller's.
   * @param options How the driver uses it.
   * @param eventFd Counts the requests that end.
   */
  constructor(image: Image, options: DiskOptions, eventFd: number) {
    this.#image = image;
    this.#isWriteThrough = options.isWriteThrough;
    this.#others = new BlockDevice(image, options);
    this.#ring = new IoUring(DEPTH, MAX_PIECES);
    try {
      this.#ring.notify(eventFd);
    } catch (error) {
      this.#ring[Symbol.dispose]();
      throw error;
    }
  }

  get hasRoom(): boolean {
    return this.#free.length > 0;
  }

  begin(chain: DescriptorChain, memory: GuestMemoryMmap): number | undefined {
    const { readable, writable } = chain;
    const written = writable.remaining;
    if (written === 0) return 0; // No place for a status.
    const status = writable.splitAt(written - 1);
    const head = headOf(readable);
    const common = { chain, readable, writable, status, written };
    if (head !== undefined && this.#begin({ ...common, head }, memory)) return undefined;
    status.writeObj(u8, this.#others.execute(head, readable, writable));
    return written;
  }

  // Returns whether the storage can do it.
  #begin(request: Omit<Pending, "length" | "pieces">, memory: GuestMemoryMmap): boolean {
    const { head: { type, sector }, readable, writable } = request;
    const { isReadOnly, directFd, fd, size } = this.#image;
    if (isReadOnly && type !== Type.in) return false;
    if (type === Type.flush) {
      this.#add("sync", { ...request, length: 0, pieces: [] }, fd, 0, []);
      return true;
    }
    if (type !== Type.in && type !== Type.out) return false;
    const part = type === Type.in ? writable : readable;
    const length = part.remaining;
    const position = Number(sector) * SECTOR;
    const pieces = this.#piecesOf(memory, part.ranges());
    if (length === 0 || position + length > size || pieces === undefined) return false;
    const kind = type === Type.in ? "read" : this.#isWriteThrough ? "writeThrough" : "write";
    const marked = type === Type.in ? pieces : [];
    this.#add(kind, { ...request, length, pieces: marked }, directFd!, position, pieces);
    return true;
  }

  #add(
    kind: TransferKind,
    pending: Pending,
    fd: number,
    position: number,
    pieces: readonly HostPiece[],
  ): void {
    const slot = this.#free.pop()!;
    this.#pending[slot] = pending;
    this.#ring.add(kind, slot, fd, position, pieces);
  }

  advance(onEnd: OnEnd): void {
    this.#ring.submit();
    this.#take(onEnd);
  }

  drain(onEnd: OnEnd): void {
    while (this.#free.length < DEPTH) {
      this.#ring.submit(1);
      this.#take(onEnd);
    }
  }

  #take(onEnd: OnEnd): void {
    this.#ring.forEnded((slot, result) => {
      const { chain, head, readable, writable, status, written, length, pieces } = this
        .#pending[slot]!;
      this.#pending[slot] = undefined;
      this.#free.push(slot);
      for (const { region: { bitmap }, offset, length } of pieces) {
        if (bitmap !== NoBitmap) bitmap.markDirty(offset, length);
      }
      // What was transferred in part, or what the storage wants in another form, goes by way of the
      // page cache. An error is one: of a flush that failed, the next call would not hear again.
      const hasFailed = result < 0 && (result !== -EINVAL || head.type === Type.flush);
      const code = result === length
        ? Status.ok
        : hasFailed
        ? Status.ioError
        : this.#others.execute(head, readable, writable);
      status.writeObj(u8, code);
      onEnd(chain, written);
    });
  }

  // Where ranges of a guest are in the host; undefined where the storage cannot use them.
  #piecesOf(
    memory: GuestMemoryMmap,
    ranges: readonly (readonly [GuestAddress, number])[],
  ): Piece[] | undefined {
    const pieces: Piece[] = [];
    for (const [addr, count] of ranges) {
      for (let at: number = addr; at < addr + count;) {
        const region = memory.findRegion(GuestAddress(at));
        if (region === undefined || pieces.length === MAX_PIECES) return undefined;
        const offset = at - region.startAddr;
        const length = Math.min(addr + count - at, region.len - offset);
        const address = this.#startOf(region) + offset;
        if (address % SECTOR !== 0 || length % SECTOR !== 0) return undefined;
        pieces.push({ address, length, region, offset });
        at += length;
      }
    }
    return pieces;
  }

  #startOf(region: GuestRegionMmap): number {
    const known = this.#starts.get(region);
    if (known !== undefined) return known;
    const start = Number(region.getHostAddress(0 as MemoryRegionAddress));
    this.#starts.set(region, start);
    return start;
  }

  /** Ends the ring. Nothing may be under way. */
  [Symbol.dispose](): void {
    this.#ring[Symbol.dispose]();
  }
}
