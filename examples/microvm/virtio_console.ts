/**
 * A console (VIRTIO 1.2, section 5.3): the guest leaves a text in its memory and notifies once,
 * where a serial port would exit for every byte. A copy of this file is a start for another device.
 *
 * @module
 */
import { type Virtqueue, VirtqueueError } from "@vmm/guest-memory/virtio";
import type { VirtioDevice } from "./virtio_mmio.ts";

/** The queue with space for what was typed. */
export const RECEIVE_QUEUE = 0;
/** The queue with what to print. */
export const TRANSMIT_QUEUE = 1;
/** The most that one chain prints. A guest may say 4 GiB. */
const LONGEST = 0x1_0000;

/** The console. */
export class VirtioConsole implements VirtioDevice {
  readonly id = 3;
  readonly queueCount = 2;
  readonly #print: (text: Uint8Array) => void;
  #typed = new Uint8Array(0);

  /** @param print Takes the text, a copy. */
  constructor(print: (text: Uint8Array) => void) {
    this.#print = print;
  }

  /** Keeps bytes for the guest, until the receive queue is served. */
  type(bytes: Uint8Array): void {
    const typed = new Uint8Array(this.#typed.length + bytes.length);
    typed.set(this.#typed);
    typed.set(bytes, this.#typed.length);
    this.#typed = typed;
  }

  /** Serves a queue. */
  serve(index: number, queue: Virtqueue): void {
    if (index === RECEIVE_QUEUE) this.#receive(queue);
    else this.#transmit(queue);
  }

  #transmit(queue: Virtqueue): void {
    for (let chain; (chain = queue.pop()) !== undefined;) {
      const { readable } = chain;
      if (readable.remaining > LONGEST) throw new VirtqueueError("Cannot print over 64 KiB");
      const text = new Uint8Array(readable.remaining);
      readable.readSlice(text);
      this.#print(text);
      queue.addUsed(chain, 0);
    }
  }

  #receive(queue: Virtqueue): void {
    while (this.#typed.length > 0) {
      const chain = queue.pop();
      if (chain === undefined) return;
      const count = chain.writable.write(this.#typed);
      this.#typed = this.#typed.subarray(count);
      queue.addUsed(chain, count);
    }
  }
}
