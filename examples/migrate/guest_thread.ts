/**
 * The thread that the guest runs on, as the main thread sees it.
 *
 * @module
 */
import type { GuestMemoryHandle, GuestMemoryMmap } from "@vmm/guest-memory";
import type { TrackerName } from "./guest.ts";
import { MigrateError } from "./migrate_error.ts";

/**
 * Words of the memory by which both threads steer the guest: `Int32` each, but for the numbers of steps,
 * which take two.
 */
export const CONTROL = { command: 0, state: 1, steps: 2, limit: 4, length: 6 } as const;
/** What the guest shall do. */
export const COMMAND = { pause: 0, run: 1, end: 2 } as const;
/** What the guest does. */
export const STATE = { paused: 0, running: 1, ended: 2 } as const;

/** What the thread begins with. */
export interface GuestSetup {
  /** The memory, to be attached. */
  readonly handle: GuestMemoryHandle;
  /** The words of {@linkcode CONTROL}. */
  readonly control: SharedArrayBuffer;
  /** Writes in a second. */
  readonly rate: number;
  /** Who finds what it writes. */
  readonly tracker: TrackerName;
  /** The virtual CPU, of a guest on KVM. */
  readonly cpu: CpuSetup | undefined;
}

/** What it takes to run a virtual CPU. */
export interface CpuSetup {
  readonly vcpuFd: number;
  readonly runPageSize: number;
}

const NO_LIMIT = 2n ** 63n - 1n;
// Far more than a guest takes to stop, also on a machine that is busy.
const ANSWER_MS = 5000;

/** The guest. It begins paused. */
export class GuestThread implements Disposable {
  readonly #worker: Worker;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #steps: BigInt64Array<SharedArrayBuffer>;
  readonly #limit: BigInt64Array<SharedArrayBuffer>;

  private constructor(worker: Worker, control: SharedArrayBuffer) {
    this.#worker = worker;
    this.#control = new Int32Array(control);
    this.#steps = new BigInt64Array(control, CONTROL.steps * 4, 1);
    this.#limit = new BigInt64Array(control, CONTROL.limit * 4, 1);
    this.#limit[0] = NO_LIMIT;
  }

  /**
   * Starts the thread.
   *
   * @param memory The memory of the guest, which the thread attaches too.
   * @param rate Writes in a second.
   * @param tracker Who finds what it writes.
   * @param machine The virtual machine, of a guest on KVM.
   * @returns The guest, once its thread is ready.
   */
  static async start(
    memory: GuestMemoryMmap,
    rate: number,
    tracker: TrackerName,
    machine?: CpuSetup,
  ): Promise<GuestThread> {
    const worker = new Worker(import.meta.resolve("./guest_worker.ts"), { type: "module" });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    worker.onmessage = () => resolve();
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new MigrateError(`the thread of the guest failed: ${event.message}`));
    };
    const control = new SharedArrayBuffer(CONTROL.length * 4);
    const cpu = machine && { vcpuFd: machine.vcpuFd, runPageSize: machine.runPageSize };
    const setup: GuestSetup = { handle: memory.share(), control, rate, tracker, cpu };
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

  /**
   * Lets a guest that is paused make steps, and returns when it is paused again.
   *
   * @param steps How many it shall have made: whole batches.
   */
  runTo(steps: number): void {
    if (steps <= this.steps) return;
    Atomics.store(this.#limit, 0, BigInt(steps));
    this.resume();
    for (let last = -1; this.steps < steps;) {
      if (this.steps === last) throw new MigrateError("the thread of the guest does not answer");
      last = this.steps;
      const end = performance.now() + ANSWER_MS;
      while (this.steps === last && performance.now() < end) {
        Atomics.wait(this.#control, CONTROL.state, STATE.running, 1);
      }
    }
    this.pause();
    Atomics.store(this.#limit, 0, NO_LIMIT);
  }

  #order(command: number, state: number): void {
    Atomics.store(this.#control, CONTROL.command, command);
    Atomics.notify(this.#control, CONTROL.command);
    const end = performance.now() + ANSWER_MS;
    for (;;) {
      const current = Atomics.load(this.#control, CONTROL.state);
      if (current === state) return;
      if (current === STATE.ended) throw new MigrateError("the thread of the guest has ended");
      const left = end - performance.now();
      if (left <= 0) throw new MigrateError("the thread of the guest does not answer");
      Atomics.wait(this.#control, CONTROL.state, current, left);
    }
  }

  /** Ends the thread, and returns when it uses nothing any more. */
  [Symbol.dispose](): void {
    this.#order(COMMAND.end, STATE.ended);
    this.#worker.terminate();
  }
}
