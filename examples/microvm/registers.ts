/**
 * The registers of a virtual CPU, as KVM gets and sets them: `asm/kvm.h`.
 *
 * @module
 */
import { array, struct, u16, u32, u64, u8 } from "@vmm/guest-memory";
import { KVM_GET_REGS, KVM_GET_SREGS, KVM_SET_REGS, KVM_SET_SREGS } from "./kvm_requests.ts";
import { ioctlGet, ioctlSet } from "./libc.ts";

/** `struct kvm_regs`: what programs calculate with. */
export type GeneralRegisters = Record<
  | ("rax" | "rbx" | "rcx" | "rdx" | "rsi" | "rdi" | "rsp" | "rbp" | "r8" | "r9" | "r10" | "r11")
  | ("r12" | "r13" | "r14" | "r15" | "rip" | "rflags"),
  bigint
>;

const GeneralRegisters = struct({
  rax: u64,
  rbx: u64,
  rcx: u64,
  rdx: u64,
  rsi: u64,
  rdi: u64,
  rsp: u64,
  rbp: u64,
  r8: u64,
  r9: u64,
  r10: u64,
  r11: u64,
  r12: u64,
  r13: u64,
  r14: u64,
  r15: u64,
  rip: u64,
  rflags: u64,
});

/** `struct kvm_segment`: a segment register with what the processor caches of its descriptor. */
export interface Segment {
  base: bigint;
  limit: number;
  selector: number;
  type: number;
  present: number;
  dpl: number;
  db: number;
  s: number;
  l: number;
  g: number;
  avl: number;
  unusable: number;
  padding: number;
}

const Segment = struct({
  base: u64,
  limit: u32,
  selector: u16,
  type: u8,
  present: u8,
  dpl: u8,
  db: u8,
  s: u8,
  l: u8,
  g: u8,
  avl: u8,
  unusable: u8,
  padding: u8,
});

/** `struct kvm_dtable`: where a descriptor table is. */
export interface DescriptorTable {
  base: bigint;
  limit: number;
  padding: number[];
}

const DescriptorTable = struct({ base: u64, limit: u16, padding: array(u16, 3) });

/** `struct kvm_sregs`: what kernels set up. */
export interface SystemRegisters {
  cs: Segment;
  ds: Segment;
  es: Segment;
  fs: Segment;
  gs: Segment;
  ss: Segment;
  tr: Segment;
  ldt: Segment;
  gdt: DescriptorTable;
  idt: DescriptorTable;
  cr0: bigint;
  cr2: bigint;
  cr3: bigint;
  cr4: bigint;
  cr8: bigint;
  efer: bigint;
  apicBase: bigint;
  interrupts: bigint[];
}

const SystemRegisters = struct({
  cs: Segment,
  ds: Segment,
  es: Segment,
  fs: Segment,
  gs: Segment,
  ss: Segment,
  tr: Segment,
  ldt: Segment,
  gdt: DescriptorTable,
  idt: DescriptorTable,
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  cr8: u64,
  efer: u64,
  apicBase: u64,
  interrupts: array(u64, 4),
});

/** What a virtual CPU calculates with at the moment. It must not run meanwhile. */
export function getRegisters(vcpuFd: number): GeneralRegisters {
  return ioctlGet(vcpuFd, KVM_GET_REGS, GeneralRegisters);
}

/** Sets what a virtual CPU calculates with: what is not given becomes 0. */
export function setRegisters(vcpuFd: number, registers: Partial<GeneralRegisters>): void {
  const all = { ...NONE, ...registers };
  ioctlSet(vcpuFd, KVM_SET_REGS, GeneralRegisters, all);
}

const NONE = Object.fromEntries(
  Object.keys(GeneralRegisters.fields).map((name) => [name, 0n]),
) as GeneralRegisters;

/** The system registers of a virtual CPU. */
export function getSystemRegisters(vcpuFd: number): SystemRegisters {
  return ioctlGet(vcpuFd, KVM_GET_SREGS, SystemRegisters);
}

/** Sets the system registers of a virtual CPU. */
export function setSystemRegisters(vcpuFd: number, registers: SystemRegisters): void {
  ioctlSet(vcpuFd, KVM_SET_SREGS, SystemRegisters, registers);
}
