/**
 * What is wrong with a list of regions. Mirrors the enum `GuestRegionCollectionError`.
 *
 * @module
 */
import { nameErrors } from "./name_errors.ts";

/** Base of what is wrong with a list of regions. */
export class GuestRegionCollectionError extends Error {}

/** No region was given, or none has exactly the given start and size. */
export class NoMemoryRegion extends GuestRegionCollectionError {}

/** Two regions contain the same address. */
export class MemoryRegionOverlap extends GuestRegionCollectionError {}

/** Regions were not given by rising start. */
export class UnsortedMemoryRegions extends GuestRegionCollectionError {}

/** A region ends beyond the address space, 2^53. Mirrors `FromRangesError::InvalidGuestRegion`. */
export class InvalidGuestRegion extends GuestRegionCollectionError {}

nameErrors({
  GuestRegionCollectionError,
  NoMemoryRegion,
  MemoryRegionOverlap,
  UnsortedMemoryRegions,
  InvalidGuestRegion,
});
