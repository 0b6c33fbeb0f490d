/**
 * What KVM can be asked: the `ioctl` requests of `linux/kvm.h` that this program makes.
 *
 * @module
 */
import type { Request } from "./libc.ts";

// asm-generic/ioctl.h: the number in bits 0 to 7, the type (KVMIO is 0xae) from bit 8, the size of
// the structure from bit 16, and whether the kernel reads (1) or writes (2) it from bit 30.
function request(name: string, number: number, direction = 0, size = 0): Request {
  return { name, number: BigInt(direction * 2 ** 30 + size * 2 ** 16 + 0xae00 + number) };
}

function io(name: string, number: number): Request {
  return request(name, number);
}

function iow(name: string, number: number, size: number): Request {
  return request(name, number, 1, size);
}

function ior(name: string, number: number, size: number): Request {
  return request(name, number, 2, size);
}

function iowr(name: string, number: number, size: number): Request {
  return request(name, number, 3, size);
}

// On /dev/kvm
export const KVM_GET_API_VERSION: Request = io("KVM_GET_API_VERSION", 0x00);
export const KVM_CREATE_VM: Request = io("KVM_CREATE_VM", 0x01);
export const KVM_GET_VCPU_MMAP_SIZE: Request = io("KVM_GET_VCPU_MMAP_SIZE", 0x04);
export const KVM_GET_SUPPORTED_CPUID: Request = iowr("KVM_GET_SUPPORTED_CPUID", 0x05, 8);

// On a virtual machine
export const KVM_CREATE_VCPU: Request = io("KVM_CREATE_VCPU", 0x41);
export const KVM_GET_DIRTY_LOG: Request = iow("KVM_GET_DIRTY_LOG", 0x42, 16);
export const KVM_SET_USER_MEMORY_REGION: Request = iow("KVM_SET_USER_MEMORY_REGION", 0x46, 32);
export const KVM_SET_TSS_ADDR: Request = io("KVM_SET_TSS_ADDR", 0x47);
export const KVM_CREATE_IRQCHIP: Request = io("KVM_CREATE_IRQCHIP", 0x60);
export const KVM_IRQ_LINE: Request = iow("KVM_IRQ_LINE", 0x61, 8);
export const KVM_CREATE_PIT2: Request = iow("KVM_CREATE_PIT2", 0x77, 64);

// On a virtual CPU
export const KVM_RUN: Request = io("KVM_RUN", 0x80);
export const KVM_GET_REGS: Request = ior("KVM_GET_REGS", 0x81, 144);
export const KVM_SET_REGS: Request = iow("KVM_SET_REGS", 0x82, 144);
export const KVM_GET_SREGS: Request = ior("KVM_GET_SREGS", 0x83, 312);
export const KVM_SET_SREGS: Request = iow("KVM_SET_SREGS", 0x84, 312);
export const KVM_SET_SIGNAL_MASK: Request = iow("KVM_SET_SIGNAL_MASK", 0x8b, 4);
export const KVM_SET_CPUID2: Request = iow("KVM_SET_CPUID2", 0x90, 8);
