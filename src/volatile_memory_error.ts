/**
 * What goes wrong in one piece of memory. Mirrors the enum `volatile_memory::Error`.
 *
 * @module
 */
import { GuestMemoryError, InvalidBackendAddress } from "./guest_memory_error.ts";
import { hex } from "./number_format.ts";

/**
 * Base of the errors of one piece of memory. At the level of regions and of guest memory, the ones
 * that name offsets become {@linkcode InvalidBackendAddress}; the others pass unchanged.
 */
export class VolatileMemoryError extends GuestMemoryError {
  /** The name of the class. */
  override readonly name: string = "VolatileMemoryError";
}

/** An access leaves the memory. */
export class OutOfBounds extends VolatileMemoryError {
  /** The name of the class. */
  override readonly name: string = "OutOfBounds";
  /** Where: the end of the range, or its start where that is already outside. An offset in bytes. */
  readonly address: number;

  /**
   * Makes the error.
   *
   * @param address The end of the range, or its start.
   * @param length Bytes that the memory has.
   */
  constructor(address: number, length: number) {
    super(`Cannot access memory at or up to offset ${hex(address)}: its length is ${hex(length)}`);
    this.address = address;
  }
}

/** An offset plus a length is beyond 2^53, or is no integer at all. */
export class Overflow extends VolatileMemoryError {
  /** The name of the class. */
  override readonly name: string = "Overflow";
  /** The first number, in bytes. */
  readonly base: number;
  /** What was added to it. */
  readonly offset: number;

  /**
   * Makes the error.
   *
   * @param base The first number.
   * @param offset What was added to it.
   */
  constructor(base: number, offset: number) {
    super(`Cannot calculate an offset: ${base} + ${offset} is not an integer in [0, 2^53)`);
    this.base = base;
    this.offset = offset;
  }
}

/** So many elements that their size in bytes is beyond 2^53. */
export class TooBig extends VolatileMemoryError {
  /** The name of the class. */
  override readonly name: string = "TooBig";
  /** The number of elements. */
  readonly nelements: number;
  /** Bytes of an element. */
  readonly size: number;

  /**
   * Makes the error.
   *
   * @param nelements The number of elements.
   * @param size Bytes of an element.
   */
  constructor(nelements: number, size: number) {
    super(`Cannot refer to an array: ${nelements} elements of ${size} bytes exceed 2^53 bytes`);
    this.nelements = nelements;
    this.size = size;
  }
}

/** An atomic access is not at a multiple of its size. */
export class Misaligned extends VolatileMemoryError {
  /** The name of the class. */
  override readonly name: string = "Misaligned";
  /** The offset in host memory, congruent to the host address. */
  readonly address: number;
  /** What it has to be a multiple of. */
  readonly alignment: number;

  /**
   * Makes the error.
   *
   * @param address The offset.
   * @param alignment What it has to be a multiple of.
   */
  constructor(address: number, alignment: number) {
    super(`Cannot access offset ${hex(address)} atomically: not a multiple of ${alignment}`);
    this.address = address;
    this.alignment = alignment;
  }
}

/** Only a part of the bytes could be transferred. That part has been. */
export class PartialBuffer extends VolatileMemoryError {
  /** The name of the class. */
  override readonly name: string = "PartialBuffer";
  /** Bytes that were asked for. */
  readonly expected: number;
  /** Bytes that were transferred, from the start of the range. */
  readonly completed: number;

  /**
   * Makes the error.
   *
   * @param expected Bytes that were asked for.
   * @param completed Bytes that were transferred.
   */
  constructor(expected: number, completed: number) {
    super(
      `Cannot transfer ${expected} bytes: ${completed} were done when the memory or data ended`,
    );
    this.expected = expected;
    this.completed = completed;
  }
}

/** Why a transfer between memory and a stream failed. */
export type IOErrorKind = "UnexpectedEof" | "WriteZero" | "Other";

/**
 * A stream failed, or ended before an exact transfer was complete. The stream's own error, a
 * {@linkcode SystemError} where a system call failed, is the `cause`.
 */
export class IOError extends VolatileMemoryError {
  /** The name of the class. */
  override readonly name: string = "IOError";
  /** What happened. */
  readonly kind: IOErrorKind;

  /**
   * Makes the error.
   *
   * @param kind What happened.
   * @param options The error below, as `cause`.
   */
  constructor(kind: IOErrorKind, options?: ErrorOptions) {
    super(`Cannot transfer data: ${IO_ERROR_TEXT[kind]}${causeText(options?.cause)}`, options);
    this.kind = kind;
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
 * The memory was closed, and what it was may be unmapped. It has no counterpart in Rust, where the
 * compiler refuses such a use.
 */
export class MemoryClosed extends VolatileMemoryError {
  /** The name of the class. */
  override readonly name: string = "MemoryClosed";

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
  /** The name of the class. */
  override readonly name: string = "AccessDenied";
  /** What was asked. */
  readonly access: "read" | "write";

  /**
   * Makes the error.
   *
   * @param access What was asked.
   */
  constructor(access: "read" | "write") {
    super(`Cannot ${access} memory: its protection does not allow it`);
    this.access = access;
  }
}

/** An error of a piece of memory as it appears at the level of regions and guest memory. */
export function toGuestMemoryError(error: unknown): unknown {
  if (
    error instanceof OutOfBounds || error instanceof Overflow ||
    error instanceof TooBig ||
    error instanceof Misaligned
  ) {
    return new InvalidBackendAddress(`Cannot access the region: ${error.message}`, {
      cause: error,
    });
  }
  return error;
}
