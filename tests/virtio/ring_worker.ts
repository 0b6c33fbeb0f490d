/**
 * Writes what it likes into the rings of a queue that another thread serves.
 *
 * @module
 */

/** What a Worker is to do. */
export interface Order {
  /** The memory, of which it changes all bytes from `start` on. */
  readonly memory: SharedArrayBuffer;
  readonly start: number;
  readonly length: number;
  /** Its first word is 1 once the Worker writes, and 2 to stop it. */
  readonly control: SharedArrayBuffer;
}

const thread = globalThis as unknown as {
  onmessage: (event: MessageEvent<Order>) => void;
  postMessage(message: unknown): void;
};

thread.onmessage = ({ data: { memory, start, length, control } }) => {
  const words = new Int32Array(control);
  const bytes = new Uint8Array(memory, start, length);
  const halves = new Uint16Array(memory, start, length / 2);
  let seed = 1;
  const random = (end: number) => {
    seed = Math.imul(seed, 1_664_525) + 1_013_904_223 >>> 0;
    return (seed >>> 8) % end;
  };
  Atomics.store(words, 0, 1);
  while (Atomics.load(words, 0) !== 2) {
    for (let i = 0; i < 1000; i++) {
      // Small numbers mean something to a device; others are refused soon.
      if (random(4) === 0) bytes[random(length)] = random(256);
      else halves[random(halves.length)] = random(16);
    }
  }
  thread.postMessage("done");
};
