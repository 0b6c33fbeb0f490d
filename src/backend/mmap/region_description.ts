/**
 * What another process needs to know to map the same memory.
 *
 * @module
 */
import type { OpenFile } from "../../../ffi/descriptor_of.ts";
import { GuestAddress, type GuestUsize } from "../../address.ts";
import { shown } from "../../text/argument.ts";
import { FileOffset } from "./file_offset.ts";
import type { GuestRegionMmap } from "./guest_region_mmap.ts";
import type { Mapping } from "./mapping.ts";

/** A region as another process can map it, in numbers and text. */
export interface RegionDescription {
  /** The guest address of the first byte. */
  readonly startAddr: number;
  /** Bytes. */
  readonly len: number;
  /** The address of the first byte in the process that describes it. */
  readonly hostAddress: number;
  /** The descriptor in the process that describes it; `null` for memory without one. */
  readonly fd: number | null;
  /** Where in the file the region begins, in bytes. */
  readonly fdOffset: number;
  /** Bytes of its pages. */
  readonly pageSize: number;
  /** What kind of memory it is. */
  readonly kind: "anonymous" | "memfd" | "file" | "foreign";
}

/** Describes a region. */
export function descriptionOf(region: GuestRegionMmap, mapping: Mapping): RegionDescription {
  const { shape: { fileStart, pageSize, kind, shared }, descriptor } = mapping;
  return {
    startAddr: region.startAddr,
    len: region.len,
    hostAddress: Number(region.mmap.hostAddress()),
    // A private mapping is not what its file is.
    fd: shared && descriptor !== undefined ? descriptor.fd : null,
    fdOffset: fileStart,
    pageSize,
    kind,
  };
}

/**
 * The ranges to map, with their files.
 *
 * @throws {TypeError} A description is of a wrong kind, or has no descriptor.
 * @throws {RangeError} An address is not one, or there are too few descriptors, or too many.
 */
export function rangesOf(
  descriptions: readonly RegionDescription[],
  files: readonly OpenFile[],
): (readonly [GuestAddress, GuestUsize, FileOffset])[] {
  const given = [...files];
  const order: number[] = [];
  const ranges = [...descriptions].map(({ startAddr, len, fd, fdOffset }) => {
    if (typeof fd !== "number") {
      throw new TypeError(`Cannot map the region at ${shown(startAddr)}: it has no descriptor`);
    }
    if (!order.includes(fd)) order.push(fd);
    const file = given[order.indexOf(fd)];
    if (file === undefined) {
      throw new RangeError(
        `Cannot map the region at ${shown(startAddr)}: ${given.length} descriptors were given, ` +
          `the descriptions name ${order.length} or more`,
      );
    }
    return [GuestAddress(startAddr), len, new FileOffset(file, fdOffset)] as const;
  });
  // One for each region, as two of a file: the wrong ones would be mapped.
  if (given.length > order.length) {
    throw new RangeError(
      `Cannot map the regions: ${given.length} descriptors were given, the descriptions name ` +
        `${order.length}; give one for each number, however many regions have it`,
    );
  }
  return ranges;
}
