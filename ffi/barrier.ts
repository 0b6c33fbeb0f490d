/**
 * A memory barrier on every thread of the process.
 *
 * @module
 */
import { lastError, libc, pageCalls } from "./libc.ts";
import { LibcUnavailable } from "./system_error.ts";

// linux/membarrier.h
const PRIVATE_EXPEDITED = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED = 1 << 4;

let registered = false;

/**
 * Waits until every write that other threads of this program have begun is visible to all of them:
 * `membarrier(2)`, Linux only.
 *
 * Call it between {@linkcode AtomicBitmap.drainInto} and reading the pages that were taken, while
 * other threads write. A mark first tests whether the page is dirty already, and processors make a
 * write visible after a read that follows it: without this barrier a write could be too late for the
 * reader and yet have found its page marked, by a mark that has just been taken.
 *
 * @throws {SystemError} The kernel refuses.
 * @throws {LibcUnavailable} FFI is not allowed, or the platform has no such call: stop the writers
 * there.
 *
 * @example
 * ```ts
 * import { synchronizeThreads } from "@vmm/guest-memory";
 *
 * if (Deno.build.os === "linux") synchronizeThreads();
 * ```
 */
export function synchronizeThreads(): void {
  if (!registered) {
    membarrier(REGISTER_PRIVATE_EXPEDITED);
    registered = true;
  }
  membarrier(PRIVATE_EXPEDITED);
}

function membarrier(command: number): void {
  const { platform } = libc();
  if (platform.membarrier === undefined) {
    throw new LibcUnavailable("Cannot synchronize threads: it takes membarrier(2) of Linux");
  }
  if (pageCalls().membarrier(platform.membarrier, command, 0, 0) !== 0n) {
    throw lastError("membarrier", { command });
  }
}
