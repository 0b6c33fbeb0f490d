/**
 * A disk over a file.
 *
 * @module
 */
import {
  Fd,
  GuestMemoryError,
  type GuestMemoryMmap,
  IOError,
  MmapRegion,
  type PositionedFd,
  u8,
} from "@vmm/guest-memory";
import type {
  ChainPart,
  DescriptorChain,
  ReadablePart,
  WritablePart,
} from "@vmm/guest-memory/virtio";
import {
  DISCARD_SEGMENT_BYTES,
  DiscardSegment,
  MAX_DISCARD_SECTORS,
  MAX_DISCARD_SEGMENTS,
  RequestHeader,
  SECTOR,
  Status,
  Type,
} from "./block_format.ts";
import { zeroFile } from "./libc.ts";

const ID = new TextEncoder().encode("deno guest-memory".padEnd(20, "\0"));
const WRITES: readonly number[] = [Type.out, Type.discard, Type.writeZeroes];
const ZEROS = new MmapRegion(2 ** 16).asVolatileSlice();

/** An image, open. */
export interface Image {
  readonly fd: number;
  /** Its bytes: a multiple of a sector. */
  readonly size: number;
  readonly isReadOnly: boolean;
  /** Another descriptor of it, past the page cache, if requests are to go there. */
  readonly directFd: number | undefined;
}

/** How the driver uses a disk. */
export interface DiskOptions {
  /** Whether what was written has to reach the storage before the request ends: a driver that has not
   * negotiated flushes cannot ask for it. Section 5.2.6.2. */
  readonly isWriteThrough: boolean;
}

/** What a thread of a queue does with requests. */
export interface Disk extends Disposable {
  /** Whether another request can begin. */
  readonly hasRoom: boolean;
  /**
   * Begins with a request.
   *
   * @returns The bytes that the driver may read, if it has ended already.
   */
  begin(chain: DescriptorChain, memory: GuestMemoryMmap): number | undefined;
  /** Lets go of all that was begun, and takes what has ended since. */
  advance(onEnd: OnEnd): void;
  /** Waits until all that was begun has ended. */
  drain(onEnd: OnEnd): void;
}

/** Takes a request that has ended, and the bytes that the driver may read. */
export type OnEnd = (chain: DescriptorChain, written: number) => void;

/** What a request begins with. */
export interface Head {
  readonly type: number;
  readonly sector: bigint;
}

/** Executes requests, one after the other. */
export class BlockDevice implements Disk {
  readonly hasRoom = true;
  readonly #image: Image;
  readonly #isWriteThrough: boolean;
  readonly #file: Fd;

  /**
   * Over an image.
   *
   * @param image The image, which stays the caller's.
   * @param options How the driver uses it.
   */
  constructor(image: Image, { isWriteThrough }: DiskOptions) {
    this.#image = image;
    this.#isWriteThrough = isWriteThrough;
    this.#file = new Fd(image.fd);
  }

  /** Executes a request. */
  begin({ readable, writable }: DescriptorChain): number {
    const written = writable.remaining;
    if (written === 0) return 0; // No place for a status.
    const status = writable.splitAt(written - 1);
    status.writeObj(u8, this.execute(headOf(readable), readable, writable));
    return written;
  }

  /** Nothing is under way. */
  advance(): void {}

  /** Nothing is under way. */
  drain(): void {}

  /** There is nothing to let go. */
  [Symbol.dispose](): void {}

  /**
   * Executes a request.
   *
   * @param head What it begins with; `undefined` if that is not whole.
   * @param readable What follows.
   * @param writable Where to, without the status.
   * @returns The status.
   */
  execute(head: Head | undefined, readable: ReadablePart, writable: WritablePart): number {
    if (head === undefined) return Status.ioError;
    try {
      const status = this.#transfer(head, readable, writable);
      if (this.#isWriteThrough && WRITES.includes(head.type) && status === Status.ok) {
        this.#file.sync();
      }
      return status;
    } catch (error) {
      // The guest's mistake, or an error of the file, which has a code. No other ends here.
      if (error instanceof GuestMemoryError || "code" in (error as Error)) return Status.ioError;
      throw error;
    }
  }

  #transfer({ type, sector }: Head, readable: ReadablePart, writable: WritablePart): number {
    switch (type) {
      case Type.in:
        writable.readExactVolatileFrom(this.#at(sector, writable));
        return Status.ok;
      case Type.out:
        if (this.#image.isReadOnly) return Status.ioError;
        readable.writeAllVolatileTo(this.#at(sector, readable));
        return Status.ok;
      case Type.flush:
        if (!this.#image.isReadOnly) this.#file.sync();
        return Status.ok;
      case Type.getId:
        writable.write(ID);
        return Status.ok;
      case Type.discard:
      case Type.writeZeroes:
        return this.#image.isReadOnly ? Status.ioError : this.#zero(readable, type);
      default:
        return Status.unsupported;
    }
  }

  #at(sector: bigint, { remaining }: ChainPart): PositionedFd {
    const start = this.#startOf(sector, remaining);
    if (remaining % SECTOR === 0 && start !== undefined) return this.#file.at(start);
    throw new IOError("UnexpectedEof");
  }

  // Where a sector is, if so many bytes from there on are in the image.
  #startOf(sector: bigint, bytes: number): number | undefined {
    const start = Number(sector) * SECTOR;
    return start + bytes <= this.#image.size ? start : undefined;
  }

  #zero(readable: ReadablePart, type: number): number {
    const { remaining } = readable;
    const isWhole = remaining > 0 && remaining % DISCARD_SEGMENT_BYTES === 0;
    if (!isWhole || remaining > MAX_DISCARD_SEGMENTS * DISCARD_SEGMENT_BYTES) {
      return Status.unsupported;
    }
    const ranges: { start: number; length: number; isHole: boolean }[] = [];
    while (readable.remaining > 0) {
      const { sector, count, flags } = readable.readObj(DiscardSegment);
      const start = this.#startOf(sector, count * SECTOR);
      // Section 5.2.6.2: only zeros may have the flag `unmap`, and there is no other.
      if ((flags & (type === Type.writeZeroes ? ~1 : ~0)) !== 0) return Status.unsupported;
      if (start === undefined || count > MAX_DISCARD_SECTORS) return Status.ioError;
      const isHole = type === Type.discard || (flags & 1) !== 0;
      ranges.push({ start, length: count * SECTOR, isHole });
    }
    for (const { start, length, isHole } of ranges) {
      if (length === 0 || zeroFile(this.#image.fd, start, length, isHole)) continue;
      // A file system need not discard.
      if (type === Type.writeZeroes) this.#writeZeros(start, length);
    }
    return Status.ok;
  }

  #writeZeros(start: number, length: number): void {
    const file = this.#file.at(start);
    while (file.position < start + length) {
      const rest = Math.min(ZEROS.len, start + length - file.position);
      file.writeVolatile(ZEROS.subslice(0, rest));
    }
  }
}

/** Reads what a request begins with; `undefined` if that is not whole. */
export function headOf(readable: ReadablePart): Head | undefined {
  try {
    return readable.readObj(RequestHeader);
  } catch (error) {
    if (error instanceof GuestMemoryError) return undefined;
    throw error;
  }
}
