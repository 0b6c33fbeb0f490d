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

/**
 * An option of a mapping cannot be had here: the kernel refuses it, or accepts it and does nothing.
 * The `cause` is the failed system call, where there was one.
 */
export class OptionRefused extends MmapRegionError {
  /**
   * Makes the error.
   *
   * @param option The option's name.
   * @param reason Why, in a few words.
   * @param cause The failed call.
   */
  constructor(readonly option: string, readonly reason: string, cause?: unknown) {
    super(`Cannot have ${option}: ${reason}`, cause === undefined ? undefined : { cause });
  }
}

/** A permission cannot be taken away from memory that other threads hold: they may be using it. */
export class MappingShared extends MmapRegionError {
  /**
   * Makes the error.
   *
   * @param holders How many other threads, and handles on their way to one, hold the mapping.
   */
  constructor(readonly holders: number) {
    super(
      `Cannot take a permission away: the mapping is held by ${holders} other ` +
        `thread${holders === 1 ? "" : "s"} or handle${holders === 1 ? "" : "s"}`,
    );
  }
}

/** A handle of memory was altered or copied, or is of another process. */
export class InvalidHandle extends MmapRegionError {}

nameErrors({
  ...{ MmapRegionError, InvalidPointer, MapFixed, InvalidOffsetLength, MappingPastEof },
  ...{ OptionRefused, MappingShared, InvalidHandle },
});
