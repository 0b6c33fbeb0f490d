/**
 * What goes wrong in one piece of memory. Mirrors the enum `volatile_memory::Error`.
 *
 * @module
 */
import { nameErrors } from "./name_errors.ts";
import { GuestMemoryError } from "./guest_memory_error.ts";
import { hex } from "../text/number_format.ts";

/** Base of the errors of one piece of memory: of slices, of regions, and of guest memory over them. */
export class VolatileMemoryError extends GuestMemoryError {}

/**
 * An access to bytes that the piece of memory does not have, or an atomic access that is not
 * possible. Base of {@linkcode OutOfBounds}, {@linkcode Overflow}, {@linkcode TooBig} and
 * {@linkcode Misaligned}, whose numbers are offsets in the region or slice. In Rust, regions and
 * guest memory have this variant in place of those four; here an error is the same object at every
 * level.
 */
export class InvalidBackendAddress extends VolatileMemoryError {}

/** An access leaves the memory. */
export class OutOfBounds extends InvalidBackendAddress {
  /**
   * Makes the error.
   *
   * @param address The end of the range, or its start.
   * @param length Bytes that the memory has.
   */
  constructor(readonly address: number, length: number) {
    super(`Cannot access memory at or up to offset ${hex(address)}: its length is ${hex(length)}`);
  }
}

/** An offset plus a length is beyond 2^53, or is no integer at all. */
export class Overflow extends InvalidBackendAddress {
  /**
   * Makes the error.
   *
   * @param base The first number.
   * @param offset What was added to it.
   */
  constructor(readonly base: number, readonly offset: number) {
    super(`Cannot calculate an offset: ${base} + ${offset} is not an integer in [0, 2^53)`);
  }
}

/** So many elements that their size in bytes is beyond 2^53. */
export class TooBig extends InvalidBackendAddress {
  /**
   * Makes the error.
   *
   * @param nelements The number of elements.
   * @param size Bytes of an element.
   */
  constructor(readonly nelements: number, readonly size: number) {
    super(`Cannot refer to an array: ${nelements} elements of ${size} bytes exceed 2^53 bytes`);
  }
}

/** An atomic access is not at a multiple of its size. */
export class Misaligned extends InvalidBackendAddress {
  /**
   * Makes the error.
   *
   * @param address The offset.
   * @param alignment What it has to be a multiple of.
   */
  constructor(readonly address: number, readonly alignment: number) {
    super(`Cannot access offset ${hex(address)} atomically: not a multiple of ${alignment}`);
  }
}

/** Only a prefix of the bytes was transferred. */
export class PartialBuffer extends VolatileMemoryError {
  /**
   * Makes the error.
   *
   * @param expected Bytes that were asked for.
   * @param completed Bytes that were transferred.
   */
  constructor(readonly expected: number, readonly completed: number) {
    super(
      `Cannot transfer ${expected} bytes: ${completed} were done when the memory or data ended`,
    );
  }
}

/**
 * Refuses a transfer that is not complete.
 *
 * @throws {PartialBuffer} It is not.
 */
export function ensureAll(expected: number, completed: number): void {
  if (completed !== expected) throw new PartialBuffer(expected, completed);
}

/** Why a transfer between memory and a stream failed. */
export type IOErrorKind = "UnexpectedEof" | "WriteZero" | "Other";

/**
 * A stream failed, or ended before an exact transfer was complete. The stream's error, a
 * {@linkcode SystemError} where a system call failed, is the `cause`.
 */
export class IOError extends VolatileMemoryError {
  /**
   * Makes the error.
   *
   * @param kind What happened.
   * @param options The error below, as `cause`.
   */
  constructor(readonly kind: IOErrorKind, options?: ErrorOptions) {
    super(`Cannot transfer data: ${IO_ERROR_TEXT[kind]}${causeText(options?.cause)}`, options);
  }
}

const IO_ERROR_TEXT = {
  UnexpectedEof: "the source ended before the memory was filled",
  WriteZero: "the sink takes no more data",
  Other: "the stream failed",
} as const;

function causeText(cause: unknown): string {
  return cause instanceof Error ? ` (${cause.message})` : "";
}

/**
 * The memory is closed, and may be unmapped. There is no counterpart in Rust, where the compiler
 * refuses such a use.
 */
export class MemoryClosed extends VolatileMemoryError {
  /**
   * Makes the error.
   *
   * @param what What was closed.
   */
  constructor(what: string = "memory") {
    super(`Cannot access ${what}: it is closed`);
  }
}

/**
 * The memory is protected against this access. In Rust such an access is a SIGSEGV.
 */
export class AccessDenied extends VolatileMemoryError {
  /**
   * Makes the error.
   *
   * @param access What was asked.
   */
  constructor(readonly access: "read" | "write") {
    super(`Cannot ${access} memory: its protection does not allow it`);
  }
}

nameErrors({
  VolatileMemoryError,
  InvalidBackendAddress,
  OutOfBounds,
  Overflow,
  TooBig,
  Misaligned,
  PartialBuffer,
  IOError,
  MemoryClosed,
  AccessDenied,
});
