/**
 * A failed system call, and a C library that is not available.
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
  static {
    this.prototype.name = "SystemError";
  }

  /**
   * Makes the error.
   *
   * @param call The call that failed.
   * @param errno Its errno.
   * @param code The errno's symbolic name.
   * @param args The arguments that matter, by name, for the message.
   */
  constructor(
    readonly call: string,
    readonly errno: number,
    readonly code: string,
    args: Record<string, unknown> = {},
  ) {
    const shown = Object.entries(args).map(([name, value]) => `${name}: ${value}`).join(", ");
    super(`Cannot ${call}(${shown}): ${code} (errno ${errno})`);
  }
}

/** The C library cannot be used: FFI is not allowed, or the platform is not supported. */
export class LibcUnavailable extends Error {
  static {
    this.prototype.name = "LibcUnavailable";
  }
}
