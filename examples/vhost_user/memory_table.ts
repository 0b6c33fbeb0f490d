/**
 * The guest's memory, as a front-end describes it.
 *
 * @module
 */
import {
  FileOffset,
  GuestAddress,
  GuestMemoryMmap,
  GuestRegionMmap,
  MmapRegion,
} from "@vmm/guest-memory";
import type { MemoryRegionMessage } from "./protocol.ts";
import { ProtocolError } from "./vhost_error.ts";

interface Entry {
  readonly start: GuestAddress;
  readonly size: number;
  readonly userAddress: bigint;
}

/**
 * All regions: an immutable map for devices, and where each is in the front-end, which names rings by
 * its own addresses.
 */
export class MemoryTable implements Disposable {
  readonly #entries: readonly Entry[];
  /** The memory; `undefined` without a region. */
  readonly memory: GuestMemoryMmap | undefined;

  private constructor(memory: GuestMemoryMmap | undefined, entries: readonly Entry[]) {
    this.memory = memory;
    this.#entries = entries;
  }

  /** No memory. */
  static empty(): MemoryTable {
    return new MemoryTable(undefined, []);
  }

  /**
   * Maps all regions of a table.
   *
   * @param regions The regions.
   * @param fds A descriptor for each, which may be closed afterwards.
   * @throws {ProtocolError} They cannot be memory of one guest.
   */
  static map(regions: readonly MemoryRegionMessage[], fds: readonly number[]): MemoryTable {
    if (fds.length !== regions.length) {
      throw new ProtocolError(`${regions.length} regions came with ${fds.length} descriptors`);
    }
    let table = MemoryTable.empty();
    try {
      for (const [i, region] of regions.entries()) {
        const larger = table.with(region, fds[i]!);
        table[Symbol.dispose]();
        table = larger;
      }
      return table;
    } catch (error) {
      table[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * The table with one more region.
   *
   * @param message The region.
   * @param fd Its descriptor, which may be closed afterwards.
   * @throws {ProtocolError} It is no region, or overlaps with another.
   */
  with(message: MemoryRegionMessage, fd: number): MemoryTable {
    const [start, size, offset] = [message.guestAddress, message.size, message.mmapOffset].map(
      (value, i) => {
        if (value < 2n ** 53n) return Number(value);
        throw new ProtocolError(`${["start", "size", "offset"][i]} of a region is ${value}`);
      },
    ) as [number, number, number];
    const entry = { start: GuestAddress(start), size, userAddress: message.userAddress };
    return asProtocolError(() => {
      const mmap = MmapRegion.fromFile(new FileOffset(fd, offset), size);
      let region;
      try {
        region = new GuestRegionMmap(mmap, entry.start);
      } catch (error) {
        mmap.close();
        throw error;
      }
      try {
        const memory = this.memory === undefined
          ? GuestMemoryMmap.fromRegions([region])
          : this.memory.insertRegion(region);
        return new MemoryTable(memory, [...this.#entries, entry]);
      } catch (error) {
        region.close();
        throw error;
      }
    });
  }

  /**
   * The table without a region.
   *
   * @param message The region: QEMU names it by its guest and its own address, and its size.
   * @throws {ProtocolError} There is no such region.
   */
  without({ guestAddress, userAddress, size }: MemoryRegionMessage): MemoryTable {
    const entry = this.#entries.find((entry) => {
      return BigInt(entry.start) === guestAddress && entry.userAddress === userAddress &&
        BigInt(entry.size) === size;
    });
    if (entry === undefined || this.memory === undefined) {
      throw new ProtocolError(`there is no region at ${guestAddress} with ${size} bytes`);
    }
    const rest = this.#entries.filter((other) => other !== entry);
    if (rest.length === 0) return MemoryTable.empty();
    const [memory, region] = this.memory.removeRegion(entry.start, entry.size);
    region.close();
    return new MemoryTable(memory, rest);
  }

  /**
   * The guest address that belongs to one of the front-end.
   *
   * @throws {ProtocolError} It is in no region.
   */
  toGuest(userAddress: bigint): GuestAddress {
    for (const entry of this.#entries) {
      const offset = userAddress - entry.userAddress;
      if (offset >= 0n && offset < BigInt(entry.size)) {
        return GuestAddress(entry.start + Number(offset));
      }
    }
    throw new ProtocolError(`address ${userAddress} of the front-end is in no region`);
  }

  /** Lets the memory go: it stays mapped for those that share it. */
  [Symbol.dispose](): void {
    this.memory?.close();
  }
}

// What a front-end describes is not as it says: the file is shorter, say, or regions overlap.
function asProtocolError<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw new ProtocolError(`a region cannot be mapped: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
