/**
 * Why memory cannot be mapped as asked. Mirrors the enum `MmapRegionError`; where a system call
 * fails, {@linkcode SystemError} takes the place of its variant `Mmap`.
 *
 * @module
 */
import { nameErrors } from "./name_errors.ts";

/** Base of the errors of mappings that are refused before any system call. */
export class MmapRegionError extends Error {}

/** The foreign mapping does not begin at a multiple of the page size. */
export class InvalidPointer extends MmapRegionError {}

/** `MAP_FIXED`, or a flag like it, would replace what is mapped there, V8's heap for instance. */
export class MapFixed extends MmapRegionError {}

/** The offset in the file plus the size is beyond 2^53. */
export class InvalidOffsetLength extends MmapRegionError {}

/**
 * The mapping would go past the end of a regular file: accesses there would end the process with
 * SIGBUS.
 */
export class MappingPastEof extends MmapRegionError {}

nameErrors({ MmapRegionError, InvalidPointer, MapFixed, InvalidOffsetLength, MappingPastEof });
