/**
 * A queue as the front-end sets it up.
 *
 * @module
 */
import type { EventFd } from "@vmm/guest-memory";
import type { VringAddress } from "./protocol.ts";
import type { QueueThread } from "./queue_thread.ts";

/** What is known of a queue. It is served when everything is. */
export class Vring implements Disposable {
  size = 0;
  /** The index of the next chain to take, and of the next one to give back. */
  base = 0;
  address: VringAddress | undefined;
  kick: EventFd | undefined;
  call: EventFd | undefined;
  error: EventFd | undefined;
  isEnabled = false;
  thread: QueueThread | undefined;

  /** Whether the front-end wants it to be served. */
  get isWanted(): boolean {
    return this.isEnabled && this.size > 0 && this.address !== undefined && this.kick !== undefined;
  }

  /** Closes its descriptors. The thread has to be stopped. */
  [Symbol.dispose](): void {
    for (const event of [this.kick, this.call, this.error]) event?.close();
  }
}
