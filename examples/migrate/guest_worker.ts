/// <reference lib="webworker" />
/**
 * The thread that the guest runs on. It obeys words of memory, as it never returns to its event loop.
 *
 * @module
 */
import { GuestMemoryMmap } from "@vmm/guest-memory";
import { Program } from "./guest.ts";
import { COMMAND, CONTROL, type GuestSetup, STATE } from "./guest_thread.ts";

// Steps between two looks at the command, so that the guest stops within some microseconds.
const BATCH = 64;
// Sleep of a guest that is ahead of its rate.
const SLEEP_MS = 1;

self.onmessage = ({ data }: MessageEvent<GuestSetup>) => {
  const memory = GuestMemoryMmap.attach(data.handle);
  try {
    const program = new Program(memory, data.writes);
    self.postMessage("ready");
    obey(program, new Int32Array(data.control), data.rate);
  } finally {
    memory.close();
    self.close();
  }
};

function obey(program: Program, control: Int32Array, rate: number): void {
  for (;;) {
    switch (Atomics.load(control, CONTROL.command)) {
      case COMMAND.end:
        return;
      case COMMAND.run:
        run(program, control, rate);
        break;
      default:
        become(control, STATE.paused);
        Atomics.wait(control, CONTROL.command, COMMAND.pause);
    }
  }
}

function run(program: Program, control: Int32Array, rate: number): void {
  const steps = new BigInt64Array(control.buffer, CONTROL.steps * 4, 1);
  const first = Number(Atomics.load(steps, 0));
  const start = performance.now();
  let step = first;
  do {
    const due = first + 1 + Math.floor((performance.now() - start) / 1000 * rate);
    const end = Math.min(due, step + BATCH);
    program.run(step, end);
    step = end;
    Atomics.store(steps, 0, BigInt(step));
    become(control, STATE.running);
    if (step === due) Atomics.wait(control, CONTROL.command, COMMAND.run, SLEEP_MS);
  } while (Atomics.load(control, CONTROL.command) === COMMAND.run);
}

function become(control: Int32Array, state: number): void {
  if (Atomics.exchange(control, CONTROL.state, state) !== state) {
    Atomics.notify(control, CONTROL.state);
  }
}
