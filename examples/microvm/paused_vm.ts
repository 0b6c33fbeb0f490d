/**
 * A virtual machine that runs only while it is asked to.
 *
 * @module
 */
import type { GuestMemoryMmap } from "@vmm/guest-memory";
import { type CpuidEntry, cpuidFor, setCpuid } from "./cpuid.ts";
import { describeReport } from "./ending.ts";
import { ExitLoop } from "./exit_loop.ts";
import type { Kvm } from "./kvm.ts";
import { KVM_RUN } from "./kvm_requests.ts";
import { close, EINTR, ioctlCaller, lastErrno, lastError } from "./libc.ts";
import { MemorySlots } from "./memory_slots.ts";
import { MicrovmError } from "./microvm_error.ts";
import { MmioBus } from "./mmio_bus.ts";
import { PortBus } from "./port_bus.ts";
import { RunPage } from "./run_page.ts";
import { setVcpuState, type VcpuState, vcpuState } from "./vcpu_state.ts";

/** The port that a guest writes to when it wants to pause: a PC has diagnostic codes there. */
export const PAUSE_PORT = 0x80;

/**
 * A machine with one virtual CPU, which the calling thread runs until the guest writes to
 * {@linkcode PAUSE_PORT}. There is no thread for it, so machines are cheap: many can be there at the
 * same time, and run in turn.
 */
export class PausedVm implements Disposable {
  /** The virtual CPU's descriptor, to set registers before it runs. */
  readonly vcpuFd: number;
  readonly #page: RunPage;
  readonly #enter: () => number;
  readonly #resources: DisposableStack;

  /**
   * Makes a machine.
   *
   * @param kvm KVM. It may be closed afterwards.
   * @param memory The machine's memory, which belongs to it from now on.
   * @param cpuid What KVM can offer: `kvm.supportedCpuid()`.
   */
  constructor(kvm: Kvm, memory: GuestMemoryMmap, cpuid: readonly CpuidEntry[]) {
    using resources = new DisposableStack();
    resources.use(memory);
    const vm = resources.use(kvm.createVm());
    const slots = new MemorySlots(vm, false);
    for (const region of memory) slots.add(region);
    this.vcpuFd = resources.adopt(vm.createVcpu(0), close);
    setCpuid(this.vcpuFd, cpuidFor(cpuid, 0, { cx16: false }));
    this.#page = resources.use(new RunPage(this.vcpuFd, kvm.runPageSize));
    this.#enter = ioctlCaller(this.vcpuFd, KVM_RUN);
    this.#resources = resources.move();
  }

  /**
   * Runs the guest until it pauses.
   *
   * @returns What it wrote to the port.
   * @throws {MicrovmError} It ended in another way.
   */
  run(): number {
    const ports = new PortBus();
    const loop = new ExitLoop({
      vcpuFd: this.vcpuFd,
      page: this.#page,
      ports,
      mmio: new MmioBus(),
      floatingBus: false,
    });
    let written: number | undefined;
    ports.attach(PAUSE_PORT, 1, {
      read: () => 0xff,
      write: (_port, value) => {
        written = value;
        loop.end({ kind: "stopped" });
      },
    });
    let ending = loop.run();
    // A signal may interrupt it.
    while (ending === undefined) ending = loop.run();
    if (written !== undefined) return written;
    const { exits, firstExit } = loop;
    const whereabouts = vcpuState(this.vcpuFd);
    const report = { id: 0, ending, whereabouts, exits, firstExit, lastExit: firstExit };
    throw new MicrovmError(describeReport(report));
  }

  /** The state of the virtual CPU: it continues behind the instruction that paused it. */
  save(): VcpuState {
    this.#completeExit();
    return vcpuState(this.vcpuFd);
  }

  /** Puts the virtual CPU into a state. */
  load(state: VcpuState): void {
    setVcpuState(this.vcpuFd, state);
  }

  /** Ends the machine, and unmaps its memory. */
  [Symbol.dispose](): void {
    this.#resources.dispose();
  }

  // KVM completes an access to a port when the guest is entered the next time, and the registers do
  // not show that it has to (Documentation/virt/kvm/api.rst, KVM_EXIT_IO).
  #completeExit(): void {
    this.#page.immediateExit = true;
    try {
      if (this.#enter() >= 0 || lastErrno() !== EINTR) throw lastError(KVM_RUN.name);
    } finally {
      this.#page.immediateExit = false;
    }
  }
}
