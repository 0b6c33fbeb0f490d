/**
 * A guest on KVM: a virtual machine with one virtual CPU, whose program only writes. Its parts are
 * those of the example `microvm`.
 *
 * @module
 */
import { array, GuestAddress, type GuestMemoryMmap, pageSize, u64 } from "@vmm/guest-memory";
import { assembled } from "../microvm/assembled.ts";
import { enterLongMode } from "../microvm/cpu_modes.ts";
import { cpuidFor, setCpuid } from "../microvm/cpuid.ts";
import { Kvm } from "../microvm/kvm.ts";
import {
  KVM_GET_REGS,
  KVM_GET_SREGS,
  KVM_SET_REGS,
  KVM_SET_SREGS,
} from "../microvm/kvm_requests.ts";
import { PAGE_TABLES } from "../microvm/layout.ts";
import { close, ioctlOnBytes } from "../microvm/libc.ts";
import { MemorySlots } from "../microvm/memory_slots.ts";
import { getRegisters } from "../microvm/registers.ts";
import type { Vm } from "../microvm/vm.ts";
import { BATCH, wholePages } from "./guest.ts";
import { WrongFormat } from "./migrate_error.ts";

// struct kvm_regs and kvm_sregs of asm/kvm.h.
const REGISTERS = 144;
const SYSTEM_REGISTERS = 312;
/** Bytes of the state of a virtual CPU. This program uses no other registers. */
export const CPU_STATE: number = REGISTERS + SYSTEM_REGISTERS;

const PROGRAM = GuestAddress(0x1000);
// Where the program knows how many steps to make.
const BEGIN = 2;
const CODE = assembled(
  // again: the host answers how many steps to make
  [0xe5, 0x80], //                       in   eax, 0x80        exits to the host
  [0x89, 0xc1], //                       mov  ecx, eax
  // step: r8 is its number
  [0x4c, 0x89, 0xc0], //                 mov  rax, r8
  [0x49, 0x0f, 0xaf, 0xc1], //           imul rax, r9          bits 32 to 63 are a hash
  [0x48, 0xc1, 0xe8, 0x20], //           shr  rax, 32
  [0x49, 0x0f, 0xaf, 0xc2], //           imul rax, r10         times the pages there are
  [0x48, 0xc1, 0xe8, 0x20], //           shr  rax, 32          is one of them
  [0x4c, 0x89, 0xe7], //                 mov  rdi, r12
  [0x4c, 0x39, 0xd8], //                 cmp  rax, r11         is it below 4 GiB?
  [0x72, 0x06], //                       jb   write
  [0x4c, 0x29, 0xd8], //                 sub  rax, r11
  [0x4c, 0x89, 0xef], //                 mov  rdi, r13
  // write:
  [0x48, 0xc1, 0xe0, 0x0c], //           shl  rax, 12
  [0x4c, 0x89, 0x04, 0x07], //           mov  [rdi + rax], r8
  [0x49, 0xff, 0xc0], //                 inc  r8
  [0xff, 0xc9], //                       dec  ecx
  [0x75, 0xd0], //                       jnz  step
  [0xeb, 0xca], //                       jmp  again
);
// 2^64 divided by the golden ratio, odd: its multiples are spread evenly.
const HASH = 0x9e37_79b9_7f4a_7c15n;
// Intel SDM, volume 3A, 4.5: present and writable; a page of 2 MiB.
const TABLE = 3n;
const LARGE_PAGE = 0x83n;

/** A virtual machine over the memory of a guest. Pause its program before any call. */
export class VirtualMachine implements Disposable {
  /** The virtual CPU, for the thread that runs it. */
  readonly vcpuFd: number;
  /** Bytes of the page that KVM shares with that thread. */
  readonly runPageSize: number;
  readonly #memory: GuestMemoryMmap;
  readonly #slots: MemorySlots;
  readonly #vm: Vm;

  /**
   * Makes a machine that does nothing yet.
   *
   * @param memory Its memory, in three regions.
   * @throws {MicrovmError} There is no KVM.
   */
  constructor(memory: GuestMemoryMmap) {
    using resources = new DisposableStack();
    using kvm = new Kvm();
    const vm = resources.use(kvm.createVm());
    const slots = new MemorySlots(vm, true);
    for (const region of memory) slots.add(region);
    const vcpuFd = resources.adopt(vm.createVcpu(0), close);
    setCpuid(vcpuFd, cpuidFor(kvm.supportedCpuid(), 0, { cx16: false }));
    this.vcpuFd = vcpuFd;
    this.runPageSize = kvm.runPageSize;
    this.#memory = memory;
    this.#slots = slots;
    this.#vm = vm;
    resources.move();
  }

  /** Puts the program into memory, and lets the virtual CPU begin there. */
  boot(): void {
    const memory = this.#memory;
    memory.writeSlice(CODE, PROGRAM);
    const [, low, high] = Array.from(memory, ({ startAddr, len }) => ({
      start: BigInt(startAddr),
      pages: BigInt(wholePages(len * 3 / 4) / pageSize()),
    }));
    enterLongMode(this.vcpuFd, memory, {
      entry: PROGRAM + BEGIN,
      registers: {
        rax: BigInt(BATCH),
        r8: 0n,
        r9: HASH,
        r10: low!.pages + high!.pages,
        r11: low!.pages,
        r12: low!.start,
        r13: high!.start,
      },
    });
    writeHighPageTables(memory);
  }

  /** Marks what the guest has written in the bitmaps of its memory. */
  collectDirtyPages(): void {
    for (const region of this.#memory) this.#slots.collectDirtyPages(region);
  }

  /** What a virtual CPU that is paused needs to continue, {@linkcode CPU_STATE} bytes. */
  get cpuState(): Uint8Array {
    const state = new Uint8Array(CPU_STATE);
    ioctlOnBytes(this.vcpuFd, KVM_GET_REGS, state.subarray(0, REGISTERS));
    ioctlOnBytes(this.vcpuFd, KVM_GET_SREGS, state.subarray(REGISTERS));
    return state;
  }

  /**
   * Lets the virtual CPU continue where another one was paused.
   *
   * @param state The state of the other one.
   * @param steps The steps that it has made.
   * @throws {WrongFormat} These do not belong together.
   * @throws {SystemError} KVM does not take the state.
   */
  continueFrom(state: Uint8Array, steps: number): void {
    ioctlOnBytes(this.vcpuFd, KVM_SET_SREGS, state.subarray(REGISTERS));
    ioctlOnBytes(this.vcpuFd, KVM_SET_REGS, state.subarray(0, REGISTERS));
    const { r8 } = getRegisters(this.vcpuFd);
    if (r8 === BigInt(steps)) return;
    throw new WrongFormat(`the guest has made ${steps} steps, its virtual CPU says ${r8}`);
  }

  /** Ends the machine. Its thread has to be gone. */
  [Symbol.dispose](): void {
    close(this.vcpuFd);
    this.#vm[Symbol.dispose]();
  }
}

// The mode comes with the first 4 GiB. The third region follows there, with up to 2 GiB.
function writeHighPageTables(memory: GuestMemoryMmap): void {
  const page = (n: number) => GuestAddress(PAGE_TABLES + n * 4096);
  const tables = [6, 7];
  const pointers = tables.map((n) => BigInt(page(n)) | TABLE);
  memory.writeObj(array(u64, 2), pointers, GuestAddress(page(1) + 4 * 8));
  const entries = BigUint64Array.from(
    { length: tables.length * 512 },
    (_, i) => 2n ** 32n + (BigInt(i) << 21n) | LARGE_PAGE,
  );
  memory.getSlice(page(tables[0]!), entries.byteLength).copyFrom(entries);
}
