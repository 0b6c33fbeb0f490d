/**
 * The thread that saves pages before they are written, as its owner has it.
 *
 * @module
 */
import { SnapshotFailed } from "../../error/snapshot_error.ts";
import { threadModule } from "../lazy/thread_module.ts";
import type { TransferPlan } from "../transfer.ts";
import { SystemError } from "../../../ffi/system_error.ts";
import type { CallFailure, SavedRange, SaverMessage, SaverSetup } from "./page_saver.ts";

/** A thread of this library that saves pages. */
export class Saver implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #stop = new Int32Array(new SharedArrayBuffer(4));
  readonly #plan: TransferPlan;
  readonly #total: number;
  readonly #steps: number;
  readonly #ready = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<number>();
  #hasBegun = false;
  // What ended it early.
  #reason: unknown;

  /**
   * Starts the thread.
   *
   * @param setup What it needs.
   * @param plan How it saves.
   * @param total Bytes of the file.
   * @param steps What progress is reported of.
   */
  constructor(setup: Omit<SaverSetup, "stop">, plan: TransferPlan, total: number, steps: number) {
    this.#plan = plan;
    this.#total = total;
    this.#steps = steps;
    for (const { promise } of [this.#ready, this.#ended]) promise.catch(() => {});
    const module = threadModule("./saver_worker", import.meta.url);
    this.#worker = new Worker(module, {
      type: "module",
      name: "guest memory saver",
    });
    this.#worker.onmessage = ({ data }: MessageEvent<SaverMessage>) => this.#onMessage(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(0, new Error(event.message));
    };
    this.#worker.postMessage({ ...setup, stop: this.#stop.buffer });
  }

  /** Waits until it can begin. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Lets it begin with memory that is protected. */
  begin(ranges: readonly SavedRange[]): void {
    this.#hasBegun = true;
    this.#worker.postMessage(ranges);
  }

  /**
   * Waits until all is saved.
   *
   * @returns Bytes that were written.
   * @throws {SnapshotFailed} A call failed.
   * @throws What `onProgress` has thrown, or the reason of the signal.
   */
  async finished(): Promise<number> {
    const { signal } = this.#plan;
    const abort = () => this.#end(signal!.reason);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    try {
      return await this.#ended.promise;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Ends the thread, which touches nothing any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#hasBegun) {
      Atomics.store(this.#stop, 0, 1);
      await this.#ended.promise.catch(() => {});
    }
    this.#worker.terminate();
  }

  #end(reason: unknown): void {
    this.#reason = reason;
    Atomics.store(this.#stop, 0, 1);
  }

  #fail(position: number, cause: Error): void {
    const error = new SnapshotFailed("write the snapshot", position, this.#total, cause);
    this.#ready.reject(error);
    this.#ended.reject(error);
  }

  #onMessage(message: SaverMessage): void {
    switch (message.kind) {
      case "ready":
        return this.#ready.resolve();
      case "progress":
        try {
          this.#plan.onProgress?.({ bytes: message.bytes, total: this.#steps });
        } catch (error) {
          this.#end(error);
        }
        return;
      case "saved":
        return this.#ended.resolve(message.written);
      case "stopped":
        return this.#ended.reject(this.#reason);
      case "failed":
        return this.#fail(message.position, errorOf(message.error));
    }
  }
}

function errorOf(failure: CallFailure | string): Error {
  if (typeof failure === "string") return new Error(failure);
  const { call, errno, code } = failure;
  return new SystemError(call, errno, code);
}
