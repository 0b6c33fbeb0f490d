/**
 * The thread of a queue, as its owner has it.
 *
 * @module
 */
import { type EventFd, SystemError } from "@vmm/guest-memory";
import type { VirtqueueState } from "@vmm/guest-memory/virtio";
import { ProtocolError } from "./vhost_error.ts";
import { PENDING, type QueueAnswer, type QueueRequest, SERVED } from "./queue_messages.ts";

type Start = Omit<Extract<QueueRequest, { kind: "start" }>, "kind" | "control">;

/** A thread that serves a queue. */
export class QueueThread implements Disposable {
  readonly #worker: Worker;
  readonly #kick: EventFd;
  readonly #control = new Int32Array(new SharedArrayBuffer(8));
  readonly #answers: PromiseWithResolvers<Extract<QueueAnswer, { kind: "done" }>>[] = [];
  // Why it has ended by itself.
  #failure: ProtocolError | undefined;

  private constructor(kick: EventFd, onBroken: (message: string) => void) {
    this.#kick = kick;
    this.#worker = new Worker(new URL("./queue_worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<QueueAnswer>) => {
      if (data.kind === "broken") return onBroken(data.message);
      const waiting = this.#answers.shift();
      if (data.kind === "done") waiting?.resolve(data);
      else waiting?.reject(new ProtocolError(`a queue cannot be served: ${data.message}`));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#failure = new ProtocolError(`the thread of a queue has ended: ${event.message}`);
      for (const { reject } of this.#answers.splice(0)) reject(this.#failure);
      onBroken(event.message);
    };
  }

  /**
   * Starts a thread.
   *
   * @param kick The eventfd of the driver, which stays the caller's.
   * @param start What it serves.
   * @param onBroken Called if the driver has broken the ring.
   * @throws {ProtocolError} The queue cannot be served.
   */
  static async start(
    kick: EventFd,
    start: Omit<Start, "kick">,
    onBroken: (message: string) => void,
  ): Promise<QueueThread> {
    const thread = new QueueThread(kick, onBroken);
    try {
      const control = thread.#control.buffer as SharedArrayBuffer;
      await thread.#ask({ ...start, kind: "start", kick: kick.fd, control });
      return thread;
    } catch (error) {
      thread[Symbol.dispose]();
      throw error;
    }
  }

  /** Requests that were served. */
  get served(): number {
    return Atomics.load(this.#control, SERVED);
  }

  /** Uses another map of memory, or another log. */
  async setMemory(request: Omit<Extract<QueueRequest, { kind: "memory" }>, "kind">): Promise<void> {
    await this.#ask({ ...request, kind: "memory" });
  }

  /** Notifies the driver by another eventfd. */
  async setCall(call: number | undefined): Promise<void> {
    await this.#ask({ kind: "call", call });
  }

  /**
   * Ends serving: no request is in the middle then.
   *
   * @returns How far the queue has come; `undefined` where the thread has failed.
   */
  async stop(): Promise<Required<VirtqueueState> | undefined> {
    try {
      const { state } = await this.#ask({ kind: "stop" });
      return state;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return undefined;
    } finally {
      this[Symbol.dispose]();
    }
  }

  /** Ends the thread. Use {@linkcode QueueThread.stop} where it may serve. */
  [Symbol.dispose](): void {
    this.#worker.terminate();
  }

  async #ask(request: QueueRequest): Promise<Extract<QueueAnswer, { kind: "done" }>> {
    if (this.#failure !== undefined) throw this.#failure;
    const answer = Promise.withResolvers<Extract<QueueAnswer, { kind: "done" }>>();
    this.#answers.push(answer);
    Atomics.add(this.#control, PENDING, 1);
    this.#worker.postMessage(request);
    this.#wake();
    return await answer.promise;
  }

  // The descriptor is the front-end's, and may be anything. The thread looks by itself after a while.
  #wake(): void {
    try {
      this.#kick.write();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
    }
  }
}
