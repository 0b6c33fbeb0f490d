/**
 * Writes all bits zero and all bits one in turn, in any memory and any way.
 *
 * @module
 */
import { CODECS, open, type Order, values } from "./every_kind.ts";

const thread = globalThis as unknown as {
  onmessage: (event: MessageEvent<Order>) => void;
  postMessage(message: unknown): void;
};

thread.onmessage = ({ data: { shared, way, codec: name, atomic, control } }) => {
  const words = new Int32Array(control);
  const codec = CODECS[name]!;
  const [zeros, ones] = values(codec);
  {
    using place = open(shared, way);
    const { memory, at } = place;
    while (Atomics.load(words, 0) === 0) {
      for (let i = 0; i < 20; i++) {
        if (atomic) {
          memory.store(codec, ones, at);
          memory.store(codec, zeros, at);
        } else {
          memory.writeObj(codec, ones, at);
          memory.writeObj(codec, zeros, at);
        }
      }
      Atomics.store(words, 1, 1);
    }
  }
  thread.postMessage("done");
};
