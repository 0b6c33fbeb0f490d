import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FileOffset, GuestAddress, GuestMemoryMmap, MemoryClosed, u32 } from "@vmm/guest-memory";
import { Machine } from "../../../examples/microvm/machine.ts";
import { MicrovmError } from "../../../examples/microvm/microvm_error.ts";
import { mappingsOf } from "../../support/proc_maps.ts";
import { kvmTest, makeGuest, run } from "./kvm_guest.ts";
import { temporaryFile } from "../../support/temporary_file.ts";

const FOREVER = [0xeb, 0xfe]; // again: jmp again

kvmTest("two virtual CPUs and the host count together, and none is lost", async () => {
  const program = [
    ...[0x66, 0xf0, 0xff, 0x06, 0x00, 0x20], // lock inc dword [0x2000]: here I am
    // wait:
    ...[0x66, 0x83, 0x3e, 0x00, 0x20, 0x02], // cmp dword [0x2000], 2
    ...[0x72, 0xf8], // jb wait
    ...[0x66, 0xb9, 0x50, 0xc3, 0x00, 0x00], // mov ecx, 50000
    // again:
    ...[0x66, 0xf0, 0xff, 0x06, 0x00, 0x30], // lock inc dword [0x3000]
    ...[0x66, 0x49], // dec ecx
    ...[0x75, 0xf6], // jnz again
    0xf4, // hlt
  ];
  await using machine = await makeGuest({ program, options: { vcpus: 2 } });
  using current = machine.space.memory();
  const reports = machine.run();
  const counter = GuestAddress(0x3000);
  while (current.memory.load(u32, counter) === 0) await new Promise((next) => setTimeout(next));
  for (let i = 0; i < 50_000; i++) current.memory.getAtomicRef(u32, counter).fetchAdd(1);
  assertEquals((await reports).map(({ ending }) => ending.kind), ["halted", "halted"]);
  assertEquals(current.memory.load(u32, counter), 150_000);
});

kvmTest("stop() gets every virtual CPU out of an endless loop", async () => {
  await using machine = await makeGuest({ program: FOREVER, options: { vcpus: 2 } });
  const reports = machine.run();
  await new Promise((resolve) => setTimeout(resolve, 50));
  machine.stop();
  assertEquals((await reports).map(({ ending }) => ending.kind), ["stopped", "stopped"]);
});

kvmTest("stop() before the threads are there is not lost", async () => {
  await using machine = await makeGuest({ program: FOREVER });
  const reports = machine.run();
  machine.stop();
  assertEquals((await reports).map(({ ending }) => ending.kind), ["stopped"]);
});

kvmTest("stop() is never lost, whenever it comes", async () => {
  const program = [0xba, 0x80, 0x00, 0xee, 0xeb, 0xfd]; // mov dx, 0x80; again: out dx, al; jmp again
  for (let delay = 20; delay < 60; delay += 5) {
    await using machine = await makeGuest({ program });
    const reports = machine.run();
    await new Promise((resolve) => setTimeout(resolve, delay));
    for (let i = 0; i < 20; i++) machine.type(Uint8Array.of(0x20));
    machine.stop();
    assertEquals((await reports)[0]!.ending.kind, "stopped");
  }
});

kvmTest("one that faults stops the others", async () => {
  await using machine = await makeGuest({
    // The first to come reads in a hole; the other waits for ever.
    program: [
      ...[0xb0, 0x01], // mov al, 1
      ...[0xf0, 0x0f, 0xc0, 0x06, 0x00, 0x20], // lock xadd [0x2000], al
      ...[0x84, 0xc0], // test al, al
      ...[0x75, 0xfe], // jnz itself
      ...[0xb8, 0x00, 0x40, 0x8e, 0xd8], // mov ax, 0x4000; mov ds, ax
      ...[0xa0, 0x00, 0x00], // mov al, [0]
      0xf4,
    ],
    options: { vcpus: 2 },
  });
  const kinds = (await machine.run()).map(({ ending }) => ending.kind);
  assertEquals(kinds.toSorted(), ["mmio", "stopped"]);
});

kvmTest("a machine that is disposed of while it runs is stopped, and unmapped", async () => {
  using file = temporaryFile(0x1_0000);
  using opened = Deno.openSync(file.path, { read: true, write: true });
  const memory = GuestMemoryMmap.fromRangesWithFiles([
    [GuestAddress(0), 0x1_0000, new FileOffset(opened)],
  ]);
  let reports;
  {
    await using machine = await makeGuest({ program: FOREVER, memory });
    reports = machine.run();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert(mappingsOf(file.path).length > 0);
  }
  assertEquals((await reports)[0]!.ending.kind, "stopped");
  assertEquals(mappingsOf(file.path), []);
});

kvmTest("an error of whoever takes the output comes out of run()", async () => {
  using file = temporaryFile(0x1_0000);
  using opened = Deno.openSync(file.path, { read: true, write: true });
  const memory = GuestMemoryMmap.fromRangesWithFiles([
    [GuestAddress(0), 0x1_0000, new FileOffset(opened)],
  ]);
  {
    // again: mov dx, 0x3f8; mov al, "\n"; out dx, al; jmp again
    const program = [0xba, 0xf8, 0x03, 0xb0, 0x0a, 0xee, 0xeb, 0xfb];
    await using machine = await makeGuest({ program, memory });
    const failing = () => {
      throw new Error("no more paper");
    };
    await assertRejects(() => machine.run(failing), Error, "no more paper");
  }
  assertEquals(mappingsOf(file.path), []);
});

kvmTest("without KVM, the memory is let go of", async () => {
  const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x1000]]);
  const device = { device: "/nonexistent/kvm" };
  await assertRejects(() => Machine.create(memory, device), MicrovmError, "there is no KVM here");
  assertThrows(() => memory.numRegions, MemoryClosed);
});

kvmTest("a machine that never ran is let go of", async () => {
  await using machine = await makeGuest({ program: FOREVER });
  assertEquals(machine.vcpuFds.length, 1);
});

kvmTest("a guest can run in a machine of several, at once", async () => {
  const print = (byte: number) => [0xba, 0xf8, 0x03, 0xb0, byte, 0xee, 0xf4];
  await using a = await makeGuest({ program: print(0x61) });
  await using b = await makeGuest({ program: print(0x62) });
  const [{ text }, other] = await Promise.all([run(a), run(b)]);
  assertEquals([text, other.text], ["a", "b"]);
});
