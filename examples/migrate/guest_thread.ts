/**
 * The thread that the guest runs on, as the main thread sees it.
 *
 * @module
 */
import type { GuestMemoryHandle, GuestMemoryMmap } from "@vmm/guest-memory";
import type { Writes } from "./guest.ts";
import { MigrateError } from "./migrate_error.ts";

/** Words of the memory by which both threads steer the guest: `Int32` each. */
export const CONTROL = { command: 0, state: 1, steps: 2, length: 4 } as const;
/** What the guest shall do. */
export const COMMAND = { pause: 0, run: 1, end: 2 } as const;
/** What the guest does. */
export const STATE = { paused: 0, running: 1 } as const;

/** What the thread begins with. */
export interface GuestSetup {
  /** The memory, to be attached. */
  readonly handle: GuestMemoryHandle;
  /** The words of {@linkcode CONTROL}. */
  readonly control: SharedArrayBuffer;
  /** Writes in a second. */
  readonly rate: number;
  /** How it writes. */
  readonly writes: Writes;
}

// Far more than a guest takes to stop, also on a machine that is busy.
const ANSWER_MS = 5000;

/** The guest. It begins paused. */
export class GuestThread implements Disposable {
  readonly #worker: Worker;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #steps: BigInt64Array<SharedArrayBuffer>;

  private constructor(worker: Worker, control: SharedArrayBuffer) {
    this.#worker = worker;
    this.#control = new Int32Array(control);
    this.#steps = new BigInt64Array(control, CONTROL.steps * 4, 1);
  }

  /**
   * Starts the thread.
   *
   * @param memory The memory of the guest, which the thread attaches too.
   * @param rate Writes in a second.
   * @param writes How it writes.
   * @returns The guest, once its thread is ready.
   */
  static async start(
    memory: GuestMemoryMmap,
    rate: number,
    writes: Writes,
  ): Promise<GuestThread> {
    const worker = new Worker(import.meta.resolve("./guest_worker.ts"), { type: "module" });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    worker.onmessage = () => resolve();
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new MigrateError(`the thread of the guest failed: ${event.message}`));
    };
    const control = new SharedArrayBuffer(CONTROL.length * 4);
    const setup: GuestSetup = { handle: memory.share(), control, rate, writes };
    worker.postMessage(setup);
    try {
      await promise;
    } catch (error) {
      worker.terminate();
      throw error;
    }
    return new GuestThread(worker, control);
  }

  /** Whether the guest runs. */
  get isRunning(): boolean {
    return Atomics.load(this.#control, CONTROL.state) === STATE.running;
  }

  /** Steps that the guest has made; if it runs, not the very last ones. */
  get steps(): number {
    return Number(Atomics.load(this.#steps, 0));
  }

  /** Says how many steps a guest that is paused has made elsewhere. */
  set steps(value: number) {
    Atomics.store(this.#steps, 0, BigInt(value));
  }

  /** Lets the guest run, and returns when it has written. */
  resume(): void {
    this.#order(COMMAND.run, STATE.running);
  }

  /**
   * Pauses the guest, and returns when it writes no more.
   *
   * @returns The steps that it has made.
   */
  pause(): number {
    this.#order(COMMAND.pause, STATE.paused);
    return this.steps;
  }

  #order(command: number, state: number): void {
    Atomics.store(this.#control, CONTROL.command, command);
    Atomics.notify(this.#control, CONTROL.command);
    const end = performance.now() + ANSWER_MS;
    for (;;) {
      const current = Atomics.load(this.#control, CONTROL.state);
      if (current === state) return;
      const left = end - performance.now();
      if (left <= 0) throw new MigrateError("the thread of the guest does not answer");
      Atomics.wait(this.#control, CONTROL.state, current, left);
    }
  }

  /** Ends the thread, which gives its memory back. */
  [Symbol.dispose](): void {
    Atomics.store(this.#control, CONTROL.command, COMMAND.end);
    Atomics.notify(this.#control, CONTROL.command);
    this.#worker.onerror = null;
  }
}
