/**
 * The processor's features, as the guest sees them.
 *
 * @module
 */
import { array, asSlice, fromSlice, struct, u32 } from "@vmm/guest-memory";
import { KVM_GET_SUPPORTED_CPUID, KVM_SET_CPUID2 } from "./kvm_requests.ts";
import { ioctlOnBytes } from "./libc.ts";

// struct kvm_cpuid_entry2 of asm/kvm.h; struct kvm_cpuid2 is a count, padding and entries.
const Entry = struct({
  function: u32,
  index: u32,
  flags: u32,
  eax: u32,
  ebx: u32,
  ecx: u32,
  edx: u32,
  padding: array(u32, 3),
});
const HEADER_SIZE = 8;
/** As many entries as KVM knows at most: `KVM_MAX_CPUID_ENTRIES`. */
const MAX_ENTRIES = 256;

/** The answer to `cpuid` with one number in eax (and one in ecx, where that matters). */
export interface CpuidEntry {
  /** The number in eax. */
  readonly function: number;
  /** The number in ecx. */
  readonly index: number;
  readonly flags: number;
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
  readonly padding: number[];
}

/** Asks KVM for all that it can give a guest. */
export function supportedCpuid(kvmFd: number): CpuidEntry[] {
  const table = new Uint8Array(HEADER_SIZE + MAX_ENTRIES * Entry.byteLength);
  const count = new Uint32Array(table.buffer, 0, 1);
  count[0] = MAX_ENTRIES;
  ioctlOnBytes(kvmFd, KVM_GET_SUPPORTED_CPUID, table);
  return Array.from({ length: count[0] }, (_, i) => {
    const start = HEADER_SIZE + i * Entry.byteLength;
    return fromSlice(Entry, table.subarray(start, start + Entry.byteLength))!;
  });
}

/** Gives a virtual CPU its answers. */
export function setCpuid(vcpuFd: number, entries: readonly CpuidEntry[]): void {
  const table = new Uint8Array(HEADER_SIZE + entries.length * Entry.byteLength);
  new Uint32Array(table.buffer)[0] = entries.length;
  entries.forEach((entry, i) =>
    table.set(asSlice(Entry, entry), HEADER_SIZE + i * Entry.byteLength)
  );
  ioctlOnBytes(vcpuFd, KVM_SET_CPUID2, table);
}

// Intel SDM, volume 2A, CPUID: leaf 1.
const FEATURES = 1;
const ECX_CX16 = 1 << 13;
const ECX_HYPERVISOR = 1 << 31;

/** What to change in KVM's answers. */
export interface CpuidOptions {
  /**
   * Whether the guest may use `cmpxchg16b`. A KVM that emulates the guest's kernel, on a host
   * without hardware virtualization, cannot emulate it; Linux uses it as soon as CPUID offers it,
   * and does as well without. Programs that are built for x86-64-v2 insist on it.
   */
  readonly cx16: boolean;
}

/**
 * The answers for one virtual CPU.
 *
 * @param supported What KVM can give.
 * @param id The virtual CPU's number, which is its APIC id too.
 * @param options What to change.
 */
export function cpuidFor(
  supported: readonly CpuidEntry[],
  id: number,
  { cx16 }: CpuidOptions,
): CpuidEntry[] {
  return supported.map((entry) => {
    if (entry.function !== FEATURES) return entry;
    return {
      ...entry,
      ebx: (entry.ebx & 0x00ff_ffff | id << 24) >>> 0,
      ecx: ((cx16 ? entry.ecx : entry.ecx & ~ECX_CX16) | ECX_HYPERVISOR) >>> 0,
    };
  });
}
