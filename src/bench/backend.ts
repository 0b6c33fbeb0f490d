/**
 * Kinds of memory, as they are given to a benchmark.
 *
 * @module
 */
import type { IoMemory } from "../guest/io_memory.ts";

/**
 * A kind of memory.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryHeap } from "@vmm/guest-memory";
 * import type { Backend } from "@vmm/guest-memory/bench";
 * import { assertEquals } from "@std/assert";
 *
 * const twoRegions: Backend = {
 *   name: "heap, 2 regions",
 *   make: (size) =>
 *     GuestMemoryHeap.fromRanges([
 *       [GuestAddress(0), size / 2],
 *       [GuestAddress(size / 2), size / 2],
 *     ]),
 * };
 * assertEquals(twoRegions.make(2 ** 20)!.checkRange(GuestAddress(0), 2 ** 20), true);
 * ```
 */
export interface Backend {
  /** What it is, in few words. */
  readonly name: string;
  /**
   * Makes memory of this kind, without a hole from guest address 0 to `size`.
   *
   * @param size Bytes: a multiple of 1 MiB.
   * @returns The memory, which is kept until the end of the benchmark and not closed; `undefined`
   * where this system or the permissions do not allow it.
   */
  make(size: number): IoMemory | undefined;
}

/** A backend is none, or failed in a way that leaves nothing to measure. */
export class BackendError extends Error {
  static {
    this.prototype.name = "BackendError";
  }
}

const FUNCTIONS = ["read", "write", "readObj", "writeObj", "load", "store"] as const;

/**
 * Refuses what is no backend.
 *
 * @param value What was given.
 * @param what How to name it in the error.
 * @throws {BackendError} It is none.
 */
export function checkBackend(value: unknown, what: string): Backend {
  const { name, make } = (value ?? {}) as Partial<Backend>;
  if (typeof name !== "string" || name.trim() === "") {
    throw new BackendError(`${what} is no backend: its name is no text`);
  }
  if (typeof make !== "function") {
    throw new BackendError(`${what} is no backend: it has no function make`);
  }
  return value as Backend;
}

/**
 * Makes the memory of a backend.
 *
 * @param backend The backend.
 * @param size Bytes.
 * @returns The memory, or why there is none here.
 * @throws {BackendError} It failed, or returned something else.
 */
export function memoryOf(backend: Backend, size: number): IoMemory | string {
  let memory: IoMemory | undefined;
  try {
    memory = backend.make(size);
  } catch (error) {
    // By its name: the memory may be of another copy of this library.
    if ((error as Error)?.name === "LibcUnavailable") return (error as Error).message;
    throw failure(`make() of ${backend.name} failed`, error);
  }
  if (memory === undefined) return "not to be had on this system, or with these permissions";
  const missing = FUNCTIONS.find((name) => typeof memory?.[name] !== "function");
  if (missing === undefined) return memory;
  throw new BackendError(`make() of ${backend.name} returned no memory: it has no ${missing}()`);
}

/**
 * The error for something that a backend did.
 *
 * @param what What was done.
 * @param error What it threw.
 */
export function failure(what: string, error: unknown): BackendError {
  return new BackendError(`${what}: ${reasonOf(error)}`, { cause: error });
}

/** What was thrown, in one line. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return `${error} was thrown`;
  const message = error.message.split("\n", 1)[0]!;
  return error.name === "Error" ? message : `${error.name}: ${message}`;
}
