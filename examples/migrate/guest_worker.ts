/// <reference lib="webworker" />
/**
 * The thread that the guest runs on. It obeys words of memory, as it never returns to its event loop.
 *
 * @module
 */
import { GuestMemoryMmap } from "@vmm/guest-memory";
import { BATCH, type Program } from "./guest.ts";
import { COMMAND, CONTROL, type GuestSetup, STATE } from "./guest_thread.ts";
import { VirtualCpu } from "./virtual_cpu.ts";
import { WritingProgram } from "./writing_program.ts";

self.onmessage = ({ data }: MessageEvent<GuestSetup>) => {
  const control = new Int32Array(data.control);
  try {
    serve(data, control);
  } finally {
    become(control, STATE.ended);
    self.close();
  }
};

function serve({ handle, tracker, cpu, rate }: GuestSetup, control: Int32Array): void {
  using resources = new DisposableStack();
  const memory = resources.use(GuestMemoryMmap.attach(handle));
  const program = cpu === undefined
    ? new WritingProgram(memory, tracker === "kernel")
    : resources.use(new VirtualCpu(cpu.vcpuFd, cpu.runPageSize));
  self.postMessage("ready");
  obey(program, control, rate);
}

function obey(program: Program, control: Int32Array, rate: number): void {
  for (;;) {
    switch (Atomics.load(control, CONTROL.command)) {
      case COMMAND.end:
        return;
      case COMMAND.run:
        run(program, control, rate);
        break;
      default:
        program.settle?.();
        become(control, STATE.paused);
        Atomics.wait(control, CONTROL.command, COMMAND.pause);
    }
  }
}

function run(program: Program, control: Int32Array, rate: number): void {
  const steps = new BigInt64Array(control.buffer, CONTROL.steps * 4, 1);
  const first = Number(Atomics.load(steps, 0));
  const limit = Atomics.load(new BigInt64Array(control.buffer, CONTROL.limit * 4, 1), 0);
  const start = performance.now();
  let step = first;
  do {
    program.run(step);
    step += BATCH;
    Atomics.store(steps, 0, BigInt(step));
    become(control, STATE.running);
    const due = first + (performance.now() - start) / 1000 * rate;
    if (step >= limit) Atomics.wait(control, CONTROL.command, COMMAND.run);
    else if (step > due) {
      Atomics.wait(control, CONTROL.command, COMMAND.run, (step - due) / rate * 1000);
    }
  } while (Atomics.load(control, CONTROL.command) === COMMAND.run);
}

function become(control: Int32Array, state: number): void {
  if (Atomics.exchange(control, CONTROL.state, state) !== state) {
    Atomics.notify(control, CONTROL.state);
  }
}
