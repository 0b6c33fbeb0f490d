/**
 * Reads an integer that a Worker writes meanwhile, in all ways, and prints as JSON how often it was
 * torn: `deno run reader.ts <loads>`.
 *
 * @module
 */
import { Backing, GuestAddress, type GuestMemory, GuestMemoryMmap } from "../../mod.ts";
import { AT, Control, type Order, type Phase, PHASES, SIZE } from "./phases.ts";

/** How a phase ended. */
export interface Result {
  /** What was done: bits, how it was written, how it was read. */
  readonly name: string;
  /** Values that were read. */
  readonly loads: number;
  /** How many of them were neither all zeros nor all ones. */
  readonly torn: number;
  /** Whether both were met, so that there was something to tear. */
  readonly both: boolean;
}

if (import.meta.main) console.log(JSON.stringify(readAll(Number(Deno.args[0]))));

function readAll(loads: number): Result[] {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), SIZE]], {
    backing: Backing.anonymous({ shared: true }),
  });
  const control = new SharedArrayBuffer(Control.BYTES);
  const words = new Int32Array(control);
  const worker = new Worker(new URL("./writer.ts", import.meta.url), { type: "module" });
  const order: Order = { pointer: memory.getHostAddress(GuestAddress(0)), control };
  worker.postMessage(order);
  const perPhase = Math.ceil(loads / (PHASES.length - 1));
  const results = PHASES.map((phase, i) => {
    Atomics.store(words, Control.PHASE, i + 1);
    while (Atomics.load(words, Control.WRITING) !== i + 1);
    // Two branches for what is one: a phase of numbers or one of bigints.
    return phase.bits === 64
      ? read(memory, phase as Phase<bigint>, perPhase)
      : read(memory, phase as Phase<number>, perPhase);
  });
  Atomics.store(words, Control.PHASE, -1);
  // The mapping must not go before the Worker has left it.
  while (Atomics.load(words, Control.WRITING) !== -1);
  return results;
}

function read<T extends number | bigint>(
  memory: GuestMemory,
  { bits, codec, zeros, ones, write, read }: Phase<T>,
  loads: number,
): Result {
  const at = GuestAddress(AT);
  const { dataView } = memory.getSlice(at, 8).memory;
  let torn = 0;
  let zero = 0;
  let one = 0;
  const count = (value: T) => {
    if (value === zeros) zero++;
    else if (value === ones) one++;
    else torn++;
  };
  // More than asked where the machine is so busy that the writer had no turn.
  let turns = 0;
  do {
    switch (read) {
      case "readObj":
        for (let i = 0; i < loads; i++) count(memory.readObj(codec, at));
        break;
      case "load":
        for (let i = 0; i < loads; i++) count(memory.load(codec, at));
        break;
      case "dataView":
        for (let i = 0; i < loads; i++) count(dataView.getBigUint64(AT, true) as T);
    }
  } while (++turns < 100 && (zero === 0 || one === 0));
  const name = `${bits} bits, ${write}, ${read}`;
  return { name, loads: turns * loads, torn, both: zero > 0 && one > 0 };
}
