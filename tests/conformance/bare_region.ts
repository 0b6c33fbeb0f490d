/**
 * Regions that only have a place.
 *
 * @module
 */
import {
  type Bitmap,
  type GuestAddress,
  GuestMemoryRegion,
  type GuestRegionCollection,
  NoBitmap,
} from "@vmm/guest-memory";

/** The least that a region can be: a range without memory behind it. */
export class BareRegion extends GuestMemoryRegion {
  readonly startAddr: GuestAddress;
  readonly len: number;
  readonly bitmap: Bitmap = NoBitmap;

  /** Makes a region of a range. */
  constructor(startAddr: GuestAddress, len: number) {
    super();
    this.startAddr = startAddr;
    this.len = len;
  }
}

/** A collection of such regions. */
export type BareCollection = GuestRegionCollection<BareRegion>;
