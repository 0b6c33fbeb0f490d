/**
 * A guest on KVM that counts.
 *
 * @module
 */
import { GuestAddress, type GuestMemoryMmap } from "@vmm/guest-memory";
import { assembled, word } from "../microvm/assembled.ts";
import { enterLongMode } from "../microvm/cpu_modes.ts";
import type { CpuidEntry } from "../microvm/cpuid.ts";
import { Kvm } from "../microvm/kvm.ts";
import { PausedVm } from "../microvm/paused_vm.ts";
import { CANVAS, COUNTER, type Counter, type CounterState, type Counting } from "./counter.ts";

const PROGRAM = GuestAddress(0x1000);

const CODE = assembled(
  [0xbb, ...word(COUNTER)], //       mov  ebx, COUNTER
  // count:
  [0xff, 0x03], //                   inc  dword [rbx]
  [0x8b, 0x03], //                   mov  eax, [rbx]
  [0x89, 0xc7], //                   mov  edi, eax
  [0x83, 0xe7, 0x3f], //             and  edi, CANVAS_PAGES - 1
  [0xc1, 0xe7, 0x0c], //             shl  edi, 12
  [0x24, 0x03], //                   and  al, 3
  [0x88, 0x87, ...word(CANVAS)], //  mov  [rdi + CANVAS], al
  [0xe6, 0x80], //                   out  PAUSE_PORT, al     exits to the host
  [0xeb, 0xe8], //                   jmp  count
);

/** Counters on KVM, each in a virtual machine. */
export class KvmCounting implements Counting {
  readonly what = "a guest on KVM";
  readonly #kvm: Kvm;
  readonly #cpuid: readonly CpuidEntry[];

  /**
   * Opens KVM.
   *
   * @param device Its device.
   * @throws {MicrovmError} There is none.
   */
  constructor(device: string) {
    this.#kvm = new Kvm(device);
    this.#cpuid = this.#kvm.supportedCpuid();
  }

  /** A machine at the beginning of its program. */
  start(memory: GuestMemoryMmap): Counter {
    const vm = new PausedVm(this.#kvm, memory, this.#cpuid);
    memory.writeSlice(CODE, PROGRAM);
    enterLongMode(vm.vcpuFd, memory, { entry: PROGRAM });
    return new KvmCounter(vm);
  }

  /** A machine that continues. */
  resume(memory: GuestMemoryMmap, state: CounterState): Counter {
    const vm = new PausedVm(this.#kvm, memory, this.#cpuid);
    vm.load(state!);
    return new KvmCounter(vm);
  }

  /** Closes KVM. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#kvm[Symbol.dispose]();
    return Promise.resolve();
  }
}

class KvmCounter implements Counter {
  constructor(readonly vm: PausedVm) {}

  count(times: number): Promise<void> {
    for (let done = 0; done < times; done++) this.vm.run();
    return Promise.resolve();
  }

  save(): CounterState {
    return this.vm.save();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.vm[Symbol.dispose]();
    return Promise.resolve();
  }
}
