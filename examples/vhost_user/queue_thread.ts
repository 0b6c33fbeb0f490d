/**
 * The thread of a queue, as its owner has it.
 *
 * @module
 */
import type { EventFd } from "@vmm/guest-memory";
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
      for (const { reject } of this.#answers.splice(0)) reject(new ProtocolError(event.message));
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
   * @returns How far the queue has come.
   */
  async stop(): Promise<Required<VirtqueueState> | undefined> {
    const { state } = await this.#ask({ kind: "stop" });
    this[Symbol.dispose]();
    return state;
  }

  /** Ends the thread. Use {@linkcode QueueThread.stop} where it may serve. */
  [Symbol.dispose](): void {
    this.#worker.terminate();
  }

  async #ask(request: QueueRequest): Promise<Extract<QueueAnswer, { kind: "done" }>> {
    const answer = Promise.withResolvers<Extract<QueueAnswer, { kind: "done" }>>();
    this.#answers.push(answer);
    Atomics.add(this.#control, PENDING, 1);
    this.#worker.postMessage(request);
    this.#kick.write();
    return await answer.promise;
  }
}
