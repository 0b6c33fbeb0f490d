/**
 * The state of a virtual CPU, to continue it in another virtual machine.
 *
 * @module
 */
import {
  type GeneralRegisters,
  getRegisters,
  getSystemRegisters,
  setRegisters,
  setSystemRegisters,
  type SystemRegisters,
} from "./registers.ts";

/**
 * What a guest here has beside its memory. One that uses floating point, model-specific registers or
 * interrupt controllers has more: `KVM_GET_XSAVE`, `KVM_GET_MSRS`, `KVM_GET_IRQCHIP` and others.
 */
export interface VcpuState {
  /** What it calculates with, and its next instruction. */
  readonly registers: GeneralRegisters;
  /** Its mode, segments and page tables. */
  readonly system: SystemRegisters;
}

/** The state of a virtual CPU that does not run, and has no exit to complete. */
export function vcpuState(vcpuFd: number): VcpuState {
  return { registers: getRegisters(vcpuFd), system: getSystemRegisters(vcpuFd) };
}

/** Puts a virtual CPU that does not run into a state. */
export function setVcpuState(vcpuFd: number, { registers, system }: VcpuState): void {
  setSystemRegisters(vcpuFd, system);
  setRegisters(vcpuFd, registers);
}
