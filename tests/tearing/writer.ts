/**
 * The Worker that writes all bits zero and all bits one in turn.
 *
 * @module
 */
import { Backing, MmapRegion, u64, type VolatileSlice } from "../../mod.ts";
import { AT, Control, type Order, type Phase, PHASES, SIZE } from "./phases.ts";

const thread = globalThis as unknown as {
  onmessage: (event: MessageEvent<Order>) => void;
  close(): void;
};

thread.onmessage = ({ data: { pointer, control } }) => {
  // A wrapper of the reader's mapping: closing it unmaps nothing.
  using region = new MmapRegion(SIZE, { backing: Backing.foreign(pointer) });
  const slice = region.asVolatileSlice();
  const words = new Int32Array(control);
  for (let done = 0;;) {
    const number = Atomics.load(words, Control.PHASE);
    if (number < 0) break;
    if (number === done) continue;
    const phase = PHASES[number - 1]!;
    slice.writeObj(u64, 0n, AT);
    Atomics.store(words, Control.WRITING, number);
    // Two branches for what is one: a phase of numbers or one of bigints.
    if (phase.bits === 64) writeUntilNext(words, number, slice, phase as Phase<bigint>);
    else writeUntilNext(words, number, slice, phase as Phase<number>);
    done = number;
  }
  Atomics.store(words, Control.WRITING, -1);
  thread.close();
};

function writeUntilNext<T extends number | bigint>(
  words: Int32Array,
  number: number,
  slice: VolatileSlice,
  { codec, zeros, ones, write }: Phase<T>,
): void {
  const { dataView } = slice.memory;
  while (Atomics.load(words, Control.PHASE) === number) {
    for (let i = 0; i < 100; i++) {
      switch (write) {
        case "writeObj":
          slice.writeObj(codec, ones, AT);
          slice.writeObj(codec, zeros, AT);
          break;
        case "store":
          slice.store(codec, ones, AT);
          slice.store(codec, zeros, AT);
          break;
        case "dataView":
          dataView.setBigUint64(AT, ones as bigint, true);
          dataView.setBigUint64(AT, zeros as bigint, true);
      }
    }
  }
}
