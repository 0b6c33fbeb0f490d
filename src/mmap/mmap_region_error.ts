/**
 * Why memory cannot be mapped as asked. Mirrors the enum `MmapRegionError`; where a system call
 * fails, {@linkcode SystemError} takes the place of its variant `Mmap`.
 *
 * @module
 */

/** Base of what is refused before the kernel is asked. */
export class MmapRegionError extends Error {
  /** The name of the class. */
  override readonly name: string = "MmapRegionError";
}

/** The foreign mapping does not begin at a multiple of the page size. */
export class InvalidPointer extends MmapRegionError {
  /** The name of the class. */
  override readonly name: string = "InvalidPointer";
}

/** `MAP_FIXED`, and its like, would replace what is mapped there, V8's heap for instance. */
export class MapFixed extends MmapRegionError {
  /** The name of the class. */
  override readonly name: string = "MapFixed";
}

/** The offset in the file plus the size is beyond 2^53. */
export class InvalidOffsetLength extends MmapRegionError {
  /** The name of the class. */
  override readonly name: string = "InvalidOffsetLength";
}

/**
 * The mapping would go past the end of a regular file: accesses there would end the process with
 * SIGBUS.
 */
export class MappingPastEof extends MmapRegionError {
  /** The name of the class. */
  override readonly name: string = "MappingPastEof";
}
