import { assertEquals, assertThrows } from "@std/assert";
import { GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
import { enterRealMode } from "../../../examples/microvm/cpu_modes.ts";
import { Kvm } from "../../../examples/microvm/kvm.ts";
import { MicrovmError } from "../../../examples/microvm/microvm_error.ts";
import { PausedVm } from "../../../examples/microvm/paused_vm.ts";
import { kvmTest, PROGRAM } from "./kvm_guest.ts";

const COUNT = [
  ...[0x40], // inc ax
  ...[0xe6, 0x80], // out PAUSE_PORT, al
  ...[0xeb, 0xfb], // jmp 0
];

function makeVm(kvm: Kvm, program: readonly number[]): PausedVm {
  const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x1_0000]]);
  memory.writeSlice(Uint8Array.from(program), PROGRAM);
  const vm = new PausedVm(kvm, memory, kvm.supportedCpuid());
  enterRealMode(vm.vcpuFd, { entry: PROGRAM });
  return vm;
}

kvmTest("PausedVm.run() returns what the guest writes, and continues behind it", () => {
  using kvm = new Kvm();
  using vm = makeVm(kvm, COUNT);
  assertEquals([vm.run(), vm.run(), vm.run()], [1, 2, 3]);
});

kvmTest("PausedVm.save() completes the access, and the state continues in another machine", () => {
  using kvm = new Kvm();
  using vm = makeVm(kvm, COUNT);
  vm.run();
  const state = vm.save();
  assertEquals([state.registers.rip, state.registers.rax], [BigInt(PROGRAM + 3), 1n]);
  using other = makeVm(kvm, COUNT);
  other.load(state);
  assertEquals([other.run(), other.run()], [2, 3]);
  // The first one continues too.
  assertEquals([vm.run(), vm.save().registers.rax], [2, 2n]);
});

kvmTest("PausedVm.run() says how a guest ended that does not pause", () => {
  using kvm = new Kvm();
  using vm = makeVm(kvm, [0xf4]);
  const error = assertThrows(() => vm.run(), MicrovmError);
  assertEquals(error.message, "vCPU 0 halted");
});
