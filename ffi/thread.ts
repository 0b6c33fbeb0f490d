/**
 * Threads of this program: who this one is, and whether another is alive. Linux only.
 *
 * @module
 */
import { libc, threadCalls } from "./libc.ts";

/** Why no thread of this library can be started; `undefined` where one can. */
export const NO_THREADS: string | undefined = typeof Deno === "undefined"
  ? "it takes a thread of the library, which only Deno can start"
  : undefined;

/** Identity of a thread where the platform has no numbers for threads. */
const UNKNOWN_THREAD = 2 ** 31 - 1;

let current: number | undefined;

/**
 * The number of the calling thread: `gettid(2)`. A Worker has one thread for its life.
 *
 * @returns An integer from 1, below 2^31.
 */
export function threadId(): number {
  return current ??= askThreadId();
}

function askThreadId(): number {
  const { systemCalls } = libc().platform;
  return systemCalls === undefined
    ? UNKNOWN_THREAD
    : Number(libc().core.gettid(systemCalls.gettid));
}

/**
 * Whether a thread of this program is alive. A number that a new thread was given counts as alive,
 * so `false` is certain, and `true` is not.
 *
 * @param id What {@linkcode threadId} returned there.
 */
export function isThreadAlive(id: number): boolean {
  const { platform: { systemCalls }, runtime } = libc();
  if (systemCalls === undefined) return true;
  // Signal 0 is not sent: the call only looks for the thread, and fails with ESRCH without one. A
  // sandbox may refuse it with another errno.
  return threadCalls().tgkill(systemCalls.tgkill, runtime.pid, id, 0) === 0n ||
    libc().errno[0] !== ESRCH;
}

// errno-base.h
const ESRCH = 3;
