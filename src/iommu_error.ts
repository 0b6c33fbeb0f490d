/**
 * What goes wrong when an I/O virtual address is translated. Mirrors the enum `iommu::Error`, and
 * its place in `guest_memory::Error::IommuError`.
 *
 * @module
 */
import { GuestMemoryError } from "./guest_memory_error.ts";
import { hex } from "./number_format.ts";

/** A range of I/O virtual addresses. */
export interface IovaRange {
  /** The first address. */
  readonly base: number;
  /** Bytes. */
  readonly length: number;
}

/** Base of what goes wrong in an IOMMU. No byte was transferred when an access throws it. */
export class IommuError extends GuestMemoryError {
  /** The name of the class. */
  override readonly name: string = "IommuError";
}

/** A range has no translation, or one that does not give the permission asked for. */
export class CannotResolve extends IommuError {
  /** The name of the class. */
  override readonly name: string = "CannotResolve";
  /** The range. */
  readonly iovaRange: IovaRange;
  /** Why. */
  readonly reason: string;

  /**
   * Makes the error.
   *
   * @param iovaRange The range.
   * @param reason Why.
   */
  constructor(iovaRange: IovaRange, reason: string) {
    super(`Cannot translate ${showRange(iovaRange)}: ${reason}`);
    this.iovaRange = iovaRange;
    this.reason = reason;
  }
}

/** A range is translated to more than one, where one was needed. For users of an {@linkcode Iommu}. */
export class Fragmented extends IommuError {
  /** The name of the class. */
  override readonly name: string = "Fragmented";
  /** The range. */
  readonly iovaRange: IovaRange;
  /** Bytes of it that are translated to one range. */
  readonly continuousLength: number;

  /**
   * Makes the error.
   *
   * @param iovaRange The range.
   * @param continuousLength Bytes of it that are translated to one range.
   */
  constructor(iovaRange: IovaRange, continuousLength: number) {
    super(
      `Cannot use ${showRange(iovaRange)} as one range: only ${continuousLength} bytes are in one`,
    );
    this.iovaRange = iovaRange;
    this.continuousLength = continuousLength;
  }
}

/** The IOMMU is set up, or implemented, so that it cannot work. */
export class IommuMisconfigured extends IommuError {
  /** The name of the class. */
  override readonly name: string = "IommuMisconfigured";
  /** What is wrong. */
  readonly reason: string;

  /**
   * Makes the error.
   *
   * @param reason What is wrong.
   */
  constructor(reason: string) {
    super(`Cannot translate addresses: ${reason}`);
    this.reason = reason;
  }
}

/**
 * What of a range an {@linkcode Iotlb} cannot translate: all of it, so that an {@linkcode Iommu} can
 * fetch the misses at once. Mirrors `IotlbFails`.
 */
export class IotlbFails extends IommuError {
  /** The name of the class. */
  override readonly name: string = "IotlbFails";
  /** Ranges without a mapping. */
  readonly misses: readonly IovaRange[];
  /** Ranges whose mapping does not give the permission. */
  readonly accessFails: readonly IovaRange[];

  /**
   * Makes the error.
   *
   * @param misses Ranges without a mapping.
   * @param accessFails Ranges whose mapping does not give the permission.
   */
  constructor(misses: readonly IovaRange[], accessFails: readonly IovaRange[]) {
    const shown = [
      ...misses.map((range) => `${showRange(range)} is not mapped`),
      ...accessFails.map((range) => `${showRange(range)} may not be accessed so`),
    ];
    super(`Cannot translate addresses: ${shown.join(", ")}`);
    this.misses = misses;
    this.accessFails = accessFails;
  }
}

function showRange({ base, length }: IovaRange): string {
  return `${length} bytes at IOVA ${hex(base)}`;
}
