/**
 * A failed system call, and a C library that cannot be had.
 *
 * @module
 */

/**
 * A system call failed. Mirrors `std::io::Error` of an OS error.
 *
 * @example Reading the reason
 * ```ts
 * import { MmapRegion, SystemError } from "@vmm/guest-memory";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const error = assertThrows(() => new MmapRegion(2 ** 52), SystemError);
 * assertEquals([error.call, error.code], ["mmap", "ENOMEM"]);
 * ```
 */
export class SystemError extends Error {
  /** The name of the class. */
  override readonly name: string = "SystemError";
  /** The call that failed, such as `"mmap"`. */
  readonly call: string;
  /** The errno it left. */
  readonly errno: number;
  /** The errno's symbolic name, such as `"ENOMEM"`. */
  readonly code: string;

  /**
   * Makes the error.
   *
   * @param call The call that failed.
   * @param errno The errno it left.
   * @param code The errno's symbolic name.
   * @param args The arguments that matter, by name, for the message.
   */
  constructor(call: string, errno: number, code: string, args: Record<string, unknown> = {}) {
    const shown = Object.entries(args).map(([name, value]) => `${name}: ${value}`).join(", ");
    super(`Cannot ${call}(${shown}): ${code} (errno ${errno})`);
    this.call = call;
    this.errno = errno;
    this.code = code;
  }
}

/** The C library cannot be used: FFI is not allowed, or the platform is not supported. */
export class LibcUnavailable extends Error {
  /** The name of the class. */
  override readonly name: string = "LibcUnavailable";
}
