/**
 * A machine: guest memory, KVM's virtual machine over it, and a thread for each virtual CPU.
 *
 * @module
 */
import {
  type GuestAddress,
  GuestMemoryAtomic,
  type GuestMemoryMmap,
  type GuestRegionMmap,
} from "@vmm/guest-memory";
import { cpuidFor, setCpuid } from "./cpuid.ts";
import { isRegular, type Report } from "./ending.ts";
import { Kvm } from "./kvm.ts";
import { close } from "./libc.ts";
import { MemorySlots } from "./memory_slots.ts";
import type { Setup } from "./messages.ts";
import { type OnOutput, VcpuThread } from "./vcpu_thread.ts";

/** What a machine consists of, beside its memory. */
export interface MachineOptions {
  /** KVM's device; `/dev/kvm` by default. */
  readonly device?: string;
  /** How many virtual CPUs it has; 1 by default. */
  readonly vcpus?: number;
  /** Whether it has interrupt controllers and a timer, as Linux wants them. Not by default. */
  readonly interrupts?: boolean;
  /** Whether what the guest writes is marked dirty, at a small price. Not by default. */
  readonly trackDirtyPages?: boolean;
  /** Whether accesses to memory that is not there do nothing, rather than end the guest. */
  readonly floatingBus?: boolean;
  /** Whether the guest may use `cmpxchg16b`: see {@linkcode CpuidOptions}. Not by default. */
  readonly cx16?: boolean;
}

/** What all virtual CPUs of a machine have in common. */
type CommonSetup = Omit<Setup, "control" | "id" | "vcpuFd" | "memory">;

/** A machine. Disposing of it stops it first. */
export class Machine implements AsyncDisposable {
  /** The memory, whose map changes as regions are plugged in and out. */
  readonly space: GuestMemoryAtomic<GuestMemoryMmap>;
  /** The virtual CPUs' descriptors, to set registers before they run. */
  readonly vcpuFds: readonly number[];
  readonly #slots: MemorySlots;
  readonly #threads: readonly VcpuThread[];
  readonly #setup: CommonSetup;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    space: GuestMemoryAtomic<GuestMemoryMmap>,
    slots: MemorySlots,
    vcpuFds: readonly number[],
    threads: readonly VcpuThread[],
    setup: CommonSetup,
    resources: AsyncDisposableStack,
  ) {
    this.space = space;
    this.#slots = slots;
    this.vcpuFds = vcpuFds;
    this.#threads = threads;
    this.#setup = setup;
    this.#resources = resources;
  }

  /**
   * Makes a machine.
   *
   * @param memory Its memory, which belongs to the machine from now on.
   * @param options What else it has.
   * @throws {MicrovmError} There is no KVM.
   */
  static async create(memory: GuestMemoryMmap, options: MachineOptions = {}): Promise<Machine> {
    const { device, vcpus = 1, interrupts = false, floatingBus = false, cx16 = false } = options;
    // What is made last is released first: no thread is left when the memory is unmapped.
    await using resources = new AsyncDisposableStack();
    const space = resources.use(new GuestMemoryAtomic(memory));
    using kvm = new Kvm(device);
    const vm = resources.use(kvm.createVm());
    if (interrupts) vm.addInterruptsAndTimer();
    const slots = new MemorySlots(vm, options.trackDirtyPages ?? false);
    for (const region of memory) slots.add(region);
    const supported = kvm.supportedCpuid();
    const vcpuFds = Array.from({ length: vcpus }, (_, id) => {
      const fd = resources.adopt(vm.createVcpu(id), close);
      setCpuid(fd, cpuidFor(supported, id, { cx16 }));
      return fd;
    });
    const threads = vcpuFds.map(() => resources.use(new VcpuThread()));
    const setup = { vmFd: vm.fd, runPageSize: kvm.runPageSize, interrupts, floatingBus };
    return new Machine(space, slots, vcpuFds, threads, setup, resources.move());
  }

  /**
   * Runs all virtual CPUs until each has ended. If one resets the machine, or does not end as a
   * guest should, the others are stopped.
   *
   * @param onOutput Takes what the guest prints.
   * @returns How each ended.
   */
  async run(onOutput: OnOutput = () => {}): Promise<Report[]> {
    using current = this.space.memory();
    const reports = this.#threads.map(async (thread, id) => {
      const memory = current.memory.share();
      const vcpuFd = this.vcpuFds[id]!;
      const report = await thread.run({ ...this.#setup, id, vcpuFd, memory }, onOutput);
      if (report.ending.kind === "reset" || !isRegular(report.ending)) this.stop();
      return report;
    });
    return await Promise.all(reports);
  }

  /** Gives the guest input, as if typed: its first virtual CPU serves the serial port. */
  type(bytes: Uint8Array): void {
    this.#threads[0]?.post({ type: "input", bytes });
  }

  /** Stops all virtual CPUs, wherever they are. */
  stop(): void {
    for (const thread of this.#threads) thread.post({ type: "stop" });
  }

  /**
   * Plugs memory in, before the guest runs or while it does.
   *
   * @param region The memory, which belongs to the machine from now on.
   */
  async plug(region: GuestRegionMmap): Promise<void> {
    using exclusive = await this.space.lock();
    const larger = exclusive.memory.insertRegion(region);
    try {
      this.#slots.add(region);
    } catch (error) {
      larger.close();
      throw error;
    }
    exclusive.replace(larger);
    this.#publish(larger);
  }

  /**
   * Unplugs memory.
   *
   * @param start The exact start of the region.
   * @param size Its exact size.
   * @returns The memory. The caller closes it; it stays mapped until no thread uses it any more.
   */
  async unplug(start: GuestAddress, size: number): Promise<GuestRegionMmap> {
    using exclusive = await this.space.lock();
    const [smaller, region] = exclusive.memory.removeRegion(start, size);
    this.#slots.remove(region);
    exclusive.replace(smaller);
    this.#publish(smaller);
    return region;
  }

  /**
   * Marks in the regions' bitmaps which pages the guest has written since the last time.
   *
   * @returns The guest's part alone, for each region by its start: bit n is page n.
   */
  collectDirtyPages(): Map<GuestAddress, Uint8Array> {
    using current = this.space.memory();
    return new Map(
      Array.from(
        current.memory,
        (region) => [region.startAddr, this.#slots.collectDirtyPages(region)],
      ),
    );
  }

  /** Releases everything: threads, virtual CPUs, the virtual machine, and its memory at last. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  // The devices, which are in the other threads, get the new map too.
  #publish(memory: GuestMemoryMmap): void {
    for (const thread of this.#threads) {
      thread.post({ type: "memory", memory: memory.share() });
    }
  }
}
