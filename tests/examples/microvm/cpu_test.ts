import { assertEquals } from "@std/assert";
import * as requests from "../../../examples/microvm/kvm_requests.ts";
import { cpuidFor } from "../../../examples/microvm/cpuid.ts";
import { EXIT_NAMES } from "../../../examples/microvm/exit_loop.ts";

// As the C compiler computes them from linux/kvm.h.
const NUMBERS: Readonly<Record<string, bigint>> = {
  KVM_GET_API_VERSION: 0xae00n,
  KVM_CREATE_VM: 0xae01n,
  KVM_GET_VCPU_MMAP_SIZE: 0xae04n,
  KVM_GET_SUPPORTED_CPUID: 0xc008ae05n,
  KVM_CREATE_VCPU: 0xae41n,
  KVM_GET_DIRTY_LOG: 0x4010ae42n,
  KVM_SET_USER_MEMORY_REGION: 0x4020ae46n,
  KVM_SET_TSS_ADDR: 0xae47n,
  KVM_CREATE_IRQCHIP: 0xae60n,
  KVM_IRQ_LINE: 0x4008ae61n,
  KVM_CREATE_PIT2: 0x4040ae77n,
  KVM_RUN: 0xae80n,
  KVM_GET_REGS: 0x8090ae81n,
  KVM_SET_REGS: 0x4090ae82n,
  KVM_GET_SREGS: 0x8138ae83n,
  KVM_SET_SREGS: 0x4138ae84n,
  KVM_SET_SIGNAL_MASK: 0x4004ae8bn,
  KVM_SET_CPUID2: 0x4008ae90n,
};

Deno.test("the requests have the numbers of linux/kvm.h", () => {
  const found = Object.values(requests).map(({ name, number }) => [name, number]);
  assertEquals(Object.fromEntries(found), NUMBERS);
});

Deno.test("the exits have names", () => {
  assertEquals(EXIT_NAMES[2], "port access");
  assertEquals(EXIT_NAMES[8], "triple fault");
});

Deno.test("cpuidFor() hides cmpxchg16b, unless asked, and numbers the processors", () => {
  const other = { index: 0, flags: 0, eax: 1, ebx: 2, edx: 4, padding: [0, 0, 0] };
  const supported = [
    { ...other, function: 0, ecx: 0xffff_ffff },
    { ...other, function: 1, ecx: 0x7fff_ffff, ebx: 0x0102_0304 },
  ];
  const [vendor, features] = cpuidFor(supported, 3, { cx16: false });
  assertEquals(vendor, supported[0]);
  assertEquals([features!.ecx, features!.ebx], [0xffff_dfff, 0x0302_0304]);
  assertEquals(cpuidFor(supported, 3, { cx16: true })[1]!.ecx, 0xffff_ffff);
});
