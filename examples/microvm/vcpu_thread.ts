/**
 * The main thread's side of a virtual CPU's thread.
 *
 * @module
 */
import type { Report } from "./ending.ts";
import { kick } from "./kick.ts";
import { Control, type FromVcpu, type Setup, type ToVcpu } from "./messages.ts";
import { MicrovmError } from "./microvm_error.ts";
import { takeWorker } from "./spare_worker.ts";

/** Gets what a guest printed, and when, in milliseconds since 1970. */
export type OnOutput = (bytes: Uint8Array, time: number) => void;

/** The thread of a virtual CPU, as the main thread sees it. It loads its program by itself. */
export class VcpuThread implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #failure: Promise<never>;
  readonly #control = new Int32Array(new SharedArrayBuffer(Control.words * 4));
  // Settled when nothing runs any more; `undefined` before anything does.
  #end: Promise<Report> | undefined;
  #ended = false;

  /** Starts the thread, or takes one that was started ahead. */
  constructor() {
    const { worker, failure } = takeWorker();
    this.#worker = worker;
    this.#failure = failure.catch(({ message }) => {
      throw new MicrovmError(`the thread of a vCPU failed: ${message}`);
    });
    this.#failure.catch(() => {});
  }

  /**
   * Lets the virtual CPU run.
   *
   * @param setup What it works with.
   * @param onOutput Takes what the guest prints. If it throws, that ends the call, not the guest.
   * @returns How it ended.
   */
  run(setup: Omit<Setup, "control">, onOutput: OnOutput): Promise<Report> {
    const report = Promise.withResolvers<Report>();
    const unheard = Promise.withResolvers<never>();
    this.#worker.onmessage = ({ data }: MessageEvent<FromVcpu>) => {
      if (data.type === "ended") return report.resolve({ ...data.report, id: setup.id });
      try {
        onOutput(data.bytes, data.time);
      } catch (error) {
        unheard.reject(error);
      }
    };
    this.#end = Promise.race([report.promise, this.#failure]).finally(() => this.#ended = true);
    this.#post({ type: "start", setup: { ...setup, control: this.#control.buffer } });
    return Promise.race([this.#end, unheard.promise]);
  }

  /** Sends a message to a virtual CPU that runs, and gets it out of the guest to read it. */
  post(message: ToVcpu): void {
    if (this.#end !== undefined && !this.#ended) this.#post(message);
  }

  /** Stops the virtual CPU if it runs, and ends the thread. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.post({ type: "stop" });
    // The caller of run() knows how it ended.
    await this.#end?.catch(() => {});
    this.#worker.terminate();
  }

  // In this order, no message is overlooked: the thread looks at the count before it enters the
  // guest, and a kick that comes after that look keeps it from entering, or gets it out.
  #post(message: ToVcpu): void {
    Atomics.add(this.#control, Control.pending, 1);
    this.#worker.postMessage(message);
    const thread = Atomics.load(this.#control, Control.thread);
    if (thread !== 0) kick(thread);
  }
}
