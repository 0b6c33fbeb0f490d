/**
 * The thread of a virtual CPU: a Worker that enters the guest, and serves its devices.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { GuestMemoryAtomic, GuestMemoryMmap, pageSize } from "@vmm/guest-memory";
import type { Ending, Report, Whereabouts } from "./ending.ts";
import { ExitLoop } from "./exit_loop.ts";
import { KEYBOARD_COMMAND_PORT, KeyboardController } from "./keyboard_controller.ts";
import { prepareForKicks, takeKick } from "./kick.ts";
import { threadId } from "./libc.ts";
import { Control, type FromVcpu, type Setup, type ToVcpu } from "./messages.ts";
import { reasonToStop } from "../lib/expected_error.ts";
import { MmioBus } from "./mmio_bus.ts";
import { PortBus } from "./port_bus.ts";
import { getRegisters, getSystemRegisters } from "./registers.ts";
import { RunPage } from "./run_page.ts";
import { Serial, SERIAL_IRQ, SERIAL_PORT, SERIAL_PORTS } from "./serial.ts";
import { RECEIVE_QUEUE, VirtioConsole } from "./virtio_console.ts";
import { VirtioMmio } from "./virtio_mmio.ts";
import { VIRTIO_IRQ, VIRTIO_LENGTH, VIRTIO_START } from "./virtio_registers.ts";
import { setIrqLine } from "./vm.ts";

/** A virtual CPU at work in this thread. */
class Work implements Disposable {
  readonly #setup: Setup;
  readonly #control: Int32Array;
  readonly #resources: DisposableStack;
  readonly #space: GuestMemoryAtomic<GuestMemoryMmap>;
  readonly #serial: Serial;
  readonly #console: VirtioConsole;
  readonly #virtio: VirtioMmio;
  readonly #loop: ExitLoop;

  constructor(setup: Setup) {
    using resources = new DisposableStack();
    const { vcpuFd, vmFd, runPageSize, floatingBus, interrupts } = setup;
    this.#setup = setup;
    this.#control = new Int32Array(setup.control);
    this.#space = resources.use(new GuestMemoryAtomic(GuestMemoryMmap.attach(setup.memory)));
    const page = resources.use(new RunPage(vcpuFd, runPageSize));
    const wire = (line: number) => (level: boolean) => {
      if (interrupts) setIrqLine(vmFd, line, level);
    };
    this.#serial = new Serial({ output: print, interrupt: wire(SERIAL_IRQ) });
    this.#console = new VirtioConsole((text) => {
      // What was sent before comes first.
      this.#serial.flush();
      print(text);
    });
    this.#virtio = resources.use(new VirtioMmio(this.#space, this.#console, wire(VIRTIO_IRQ)));
    const ports = new PortBus();
    const mmio = new MmioBus();
    this.#loop = new ExitLoop({ vcpuFd, page, ports, mmio, floatingBus });
    ports.attach(SERIAL_PORT, SERIAL_PORTS, this.#serial);
    ports.attach(
      KEYBOARD_COMMAND_PORT,
      1,
      new KeyboardController(() => this.#loop.end({ kind: "reset" })),
    );
    // A device has one state, so one thread has it.
    if (setup.id === 0) {
      mmio.attach({ start: VIRTIO_START, length: VIRTIO_LENGTH, device: this.#virtio });
    }
    prepareForKicks(vcpuFd);
    // From here on the main thread may kick.
    Atomics.store(this.#control, Control.thread, threadId());
    this.#resources = resources.move();
  }

  handle(message: ToVcpu): void {
    switch (message.type) {
      case "input":
        this.#receive(message.bytes);
        break;
      case "memory":
        this.#space.tryLock()!.replace(GuestMemoryMmap.attach(message.memory));
        this.#virtio.refresh();
        break;
      case "stop":
        this.#loop.end({ kind: "stopped" });
        break;
    }
    Atomics.sub(this.#control, Control.pending, 1);
  }

  /** Runs the guest until it ends, or until there are messages to handle. */
  run(): Ending | undefined {
    while (Atomics.load(this.#control, Control.pending) === 0) {
      const ending = this.#loop.run();
      if (ending !== undefined) return ending;
      takeKick();
    }
    return undefined;
  }

  report(ending: Ending): Report {
    const lastExit = now();
    this.#serial.flush();
    const { exits, firstExit } = this.#loop;
    const whereabouts = this.#whereabouts();
    return { id: this.#setup.id, ending, whereabouts, exits, firstExit, lastExit };
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }

  // To the console that the guest uses.
  #receive(bytes: Uint8Array): void {
    if (!this.#virtio.isDriven) return this.#serial.receive(bytes);
    this.#console.type(bytes);
    this.#virtio.notify(RECEIVE_QUEUE);
  }

  #whereabouts(): Whereabouts {
    const { vcpuFd } = this.#setup;
    const { cs, cr0, cr2, cr3, cr4, efer } = getSystemRegisters(vcpuFd);
    return { registers: getRegisters(vcpuFd), system: { cs, cr0, cr2, cr3, cr4, efer } };
  }
}

// A Worker waits for its machine for a while: time to open what it will need.
openLibraries();

let work: Work | undefined;

self.onmessage = ({ data }: MessageEvent<ToVcpu>) => {
  try {
    if (data.type === "start") work = new Work(data.setup);
    work?.handle(data);
    const ending = work?.run();
    if (ending !== undefined) end(work!.report(ending));
  } catch (error) {
    end(reportFailure(error));
  }
};

function openLibraries(): void {
  try {
    pageSize();
    threadId();
  } catch {
    // The code that needs them reports the error.
  }
}

function print(bytes: Uint8Array): void {
  post({ type: "output", bytes, time: now() });
}

function reportFailure(error: unknown): Report {
  const message = reasonToStop(error) ?? String(error instanceof Error ? error.stack : error);
  const ending = { kind: "failed", message } as const;
  const exits = new Uint32Array();
  return { id: 0, ending, whereabouts: undefined, exits, firstExit: 0, lastExit: 0 };
}

// Releases everything before it reports that: then nothing of the machine is mapped here any more.
function end(report: Report): void {
  work?.[Symbol.dispose]();
  work = undefined;
  post({ type: "ended", report });
  self.close();
}

function post(message: FromVcpu): void {
  self.postMessage(message);
}

function now(): number {
  return performance.timeOrigin + performance.now();
}
