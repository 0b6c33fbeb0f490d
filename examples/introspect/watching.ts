/**
 * Sweeps one after another, as long as the guest runs.
 *
 * @module
 */
import { isRunning } from "./processes.ts";
import type { Sweep, Sweeper } from "./sweeper.ts";

/** The least time between two sweeps, in ms. */
const LEAST_PAUSE = 100;

/**
 * Sweeps until the guest ends. Between two sweeps is at least the time that one takes, so that the
 * guest has half of the processors.
 *
 * @param sweeper The sweeper.
 * @param pid The guest's process.
 * @param signal Ends it earlier.
 */
export async function* sweeps(
  sweeper: Sweeper,
  pid: number,
  signal: AbortSignal,
): AsyncGenerator<Sweep> {
  while (!signal.aborted && isRunning(pid)) {
    const sweep = await sweeper.sweep();
    yield sweep;
    await pause(Math.max(LEAST_PAUSE, sweep.milliseconds), signal);
  }
}

/** Waits, or until the signal comes. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
