/**
 * A failed system call, a C library that is not available, and what befalls descriptors.
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

/**
 * A socket, an event counter or a write tracker was closed, before the call or while it waited.
 *
 * @example
 * ```ts
 * import { DescriptorClosed, EventFd } from "@vmm/guest-memory";
 * import { assertRejects } from "@std/assert";
 *
 * if (Deno.build.os === "linux") {
 *   const event = new EventFd();
 *   const pending = event.wait();
 *   event.close();
 *   await assertRejects(() => pending, DescriptorClosed);
 * }
 * ```
 */
export class DescriptorClosed extends Error {
  static {
    this.prototype.name = "DescriptorClosed";
  }
}

/**
 * Descriptors of a message could not be received, mostly because the process has too many open. All
 * that came are closed, so that none is left without an owner.
 */
export class DescriptorsLost extends Error {
  static {
    this.prototype.name = "DescriptorsLost";
  }

  /**
   * Makes the error.
   *
   * @param bytes The data of the message, which no later call receives.
   * @param received How many descriptors came, and were closed.
   */
  constructor(readonly bytes: Uint8Array, readonly received: number) {
    super(
      `Cannot receive all descriptors of a message: ${received} came and were closed ` +
        "(is the limit of open files reached?)",
    );
  }
}
