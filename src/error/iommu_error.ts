/**
 * What goes wrong when an I/O virtual address is translated. Mirrors the enum `iommu::Error`, and
 * its place in `guest_memory::Error::IommuError`.
 *
 * @module
 */
import { nameErrors } from "./name_errors.ts";
import { GuestMemoryError } from "./guest_memory_error.ts";
import { hex } from "../text/number_format.ts";

/** A range of I/O virtual addresses. */
export interface IovaRange {
  /** The first address. */
  readonly base: number;
  /** Bytes. */
  readonly length: number;
}

/** Base of what goes wrong in an IOMMU. No byte was transferred when an access throws it. */
export class IommuError extends GuestMemoryError {}

/** A range has no translation, or one that does not give the permission asked for. */
export class CannotResolve extends IommuError {
  /**
   * Makes the error.
   *
   * @param iovaRange The range.
   * @param reason Why.
   */
  constructor(readonly iovaRange: IovaRange, readonly reason: string) {
    super(`Cannot translate ${showRange(iovaRange)}: ${reason}`);
  }
}

/** A range is translated to more than one, where one was needed. For users of an {@linkcode Iommu}. */
export class Fragmented extends IommuError {
  /**
   * Makes the error.
   *
   * @param iovaRange The range.
   * @param continuousLength Bytes of it that are translated to one range.
   */
  constructor(readonly iovaRange: IovaRange, readonly continuousLength: number) {
    super(
      `Cannot use ${showRange(iovaRange)} as one range: only ${continuousLength} bytes are in one`,
    );
  }
}

/** The IOMMU is set up, or implemented, so that it cannot work. */
export class IommuMisconfigured extends IommuError {
  /**
   * Makes the error.
   *
   * @param reason What is wrong.
   */
  constructor(readonly reason: string) {
    super(`Cannot translate addresses: ${reason}`);
  }
}

/**
 * The parts of a range that an {@linkcode Iotlb} cannot translate: all of them, so that an
 * {@linkcode Iommu} can fetch the misses together. Mirrors `IotlbFails`.
 */
export class IotlbFails extends IommuError {
  /**
   * Makes the error.
   *
   * @param misses Ranges without a mapping.
   * @param accessFails Ranges whose mapping does not give the permission.
   */
  constructor(readonly misses: readonly IovaRange[], readonly accessFails: readonly IovaRange[]) {
    const shown = [
      ...misses.map((range) => `${showRange(range)} is not mapped`),
      ...accessFails.map((range) => `${showRange(range)} may not be accessed so`),
    ];
    super(`Cannot translate addresses: ${shown.join(", ")}`);
  }
}

function showRange({ base, length }: IovaRange): string {
  return `${length} bytes at IOVA ${hex(base)}`;
}

nameErrors({ IommuError, CannotResolve, Fragmented, IommuMisconfigured, IotlbFails });
