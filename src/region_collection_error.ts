/**
 * What is wrong with a list of regions. Mirrors the enum `GuestRegionCollectionError`.
 *
 * @module
 */

/** Base of what is wrong with a list of regions. */
export class GuestRegionCollectionError extends Error {
  /** The name of the class. */
  override readonly name: string = "GuestRegionCollectionError";
}

/** No region was given, or none has exactly the given start and size. */
export class NoMemoryRegion extends GuestRegionCollectionError {
  /** The name of the class. */
  override readonly name: string = "NoMemoryRegion";
}

/** Two regions hold the same address. */
export class MemoryRegionOverlap extends GuestRegionCollectionError {
  /** The name of the class. */
  override readonly name: string = "MemoryRegionOverlap";
}

/** Regions were not given by rising start. */
export class UnsortedMemoryRegions extends GuestRegionCollectionError {
  /** The name of the class. */
  override readonly name: string = "UnsortedMemoryRegions";
}

/** A region ends beyond the address space, 2^53. Mirrors `FromRangesError::InvalidGuestRegion`. */
export class InvalidGuestRegion extends GuestRegionCollectionError {
  /** The name of the class. */
  override readonly name: string = "InvalidGuestRegion";
}
