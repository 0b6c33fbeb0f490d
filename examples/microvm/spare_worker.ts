/**
 * Workers for virtual CPUs, started ahead.
 *
 * A Worker takes longer to start than all the rest of a machine. This module imports nothing, so
 * that a program can begin with it, and load the rest while the Worker loads its own part.
 *
 * @module
 */

/** A Worker that waits for its virtual CPU. */
export interface StartedWorker {
  /** The Worker. */
  readonly worker: Worker;
  /** Rejected if it cannot continue; never resolved. */
  readonly failure: Promise<never>;
}

const PROGRAM = new URL("./vcpu_worker.ts", import.meta.url);
const PERMISSION = { name: "read", path: PROGRAM } as const;

let spare: StartedWorker | undefined;

/** Starts a Worker for the next virtual CPU, unless one is waiting, or it may not be started. */
export function startSpareWorker(): void {
  if (Deno.permissions.querySync(PERMISSION).state === "granted") spare ??= start();
}

/**
 * The Worker that was started ahead, or a new one. It belongs to the caller.
 *
 * @throws {Deno.errors.NotCapable} Its program may not be read.
 */
export function takeWorker(): StartedWorker {
  const started = spare ?? start();
  spare = undefined;
  return started;
}

function start(): StartedWorker {
  // A Worker that fails to load says so on stderr by itself, so this comes first.
  if (Deno.permissions.requestSync(PERMISSION).state !== "granted") {
    throw new Deno.errors.NotCapable("cannot start a thread: run with --allow-read");
  }
  const worker = new Worker(PROGRAM, { type: "module", name: "vCPU" });
  const { promise, reject } = Promise.withResolvers<never>();
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new Error(event.message));
  };
  // Nobody may be waiting yet.
  promise.catch(() => {});
  return { worker, failure: promise };
}
