import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  GuestAddress,
  GuestMemoryMmap,
  GuestRegionMmap,
  MemoryRegionAddress,
  Permissions,
  u32,
} from "@vmm/guest-memory";
import { describeReport } from "../../../examples/microvm/ending.ts";
import { LONG_MODE, REAL_MODE, writeGuest } from "../../../examples/microvm/tiny_guests.ts";
import { Machine } from "../../../examples/microvm/machine.ts";
import { DATA, kvmTest, makeGuest, run } from "./kvm_guest.ts";

const SERIAL_OK = [
  ...[0xba, 0xf8, 0x03], // mov dx, 0x3f8
  ...[0xb0, 0x6f, 0xee], // mov al, "o"; out dx, al
  ...[0xb0, 0x6b, 0xee], // mov al, "k"; out dx, al
  0xf4, // hlt
];

kvmTest("a guest prints through the serial port", async () => {
  await using machine = await makeGuest({ program: SERIAL_OK });
  const { text, report } = await run(machine);
  assertEquals(text, "ok");
  assertEquals(report.ending, { kind: "halted" });
  assertEquals([report.exits[2], report.exits[5]], [2, 1]);
});

kvmTest("a guest prints what the host wrote, all in one exit", async () => {
  const program = [
    ...[0xba, 0xf8, 0x03], // mov dx, 0x3f8
    ...[0xbe, 0x00, 0x20], // mov si, DATA
    ...[0xb9, 0x05, 0x00], // mov cx, 5
    ...[0xf3, 0x6e], // rep outsb
    0xf4, // hlt
  ];
  await using machine = await makeGuest({ program });
  {
    using current = machine.space.memory();
    current.memory.writeSlice(new TextEncoder().encode("hello"), DATA);
  }
  assertEquals((await run(machine)).text, "hello");
});

kvmTest("host and guest see what the other writes", async () => {
  const program = [
    ...[0x66, 0xa1, 0x00, 0x20], // mov eax, [DATA]
    ...[0x66, 0x40], // inc eax
    ...[0x66, 0xa3, 0x04, 0x20], // mov [DATA + 4], eax
    0xf4, // hlt
  ];
  await using machine = await makeGuest({ program });
  using current = machine.space.memory();
  current.memory.writeObj(u32, 0x1234_56ff, DATA);
  await run(machine);
  assertEquals(current.memory.readObj(u32, GuestAddress(DATA + 4)), 0x1234_5700);
});

kvmTest("a guest reads what is typed", async () => {
  const program = [
    // again:
    ...[0xba, 0xfd, 0x03], // mov dx, 0x3fd: line status
    0xec, // in al, dx
    ...[0xa8, 0x01], // test al, 1
    ...[0x74, 0xf8], // jz again
    ...[0xba, 0xf8, 0x03], // mov dx, 0x3f8
    0xec, // in al, dx
    ...[0x3c, 0x71], // cmp al, "q"
    ...[0x74, 0x03], // je done
    0xee, // out dx, al
    ...[0xeb, 0xed], // jmp again
    // done:
    0xf4, // hlt
  ];
  await using machine = await makeGuest({ program });
  const type = (text: string) => machine.type(new TextEncoder().encode(text));
  let text = "";
  const reports = machine.run((bytes) => {
    text += new TextDecoder().decode(bytes);
    type(text === "one\n" ? "two\n" : "q");
  });
  type("one\n");
  await reports;
  assertEquals(text, "one\ntwo\n");
});

for (const guest of [REAL_MODE, LONG_MODE]) {
  kvmTest(`the built-in guest runs: ${guest.name}`, async () => {
    const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), guest.memorySize]]);
    await using machine = await Machine.create(memory);
    writeGuest(memory, guest);
    guest.enter(machine.vcpuFds[0]!, memory);
    const { text, report } = await run(machine);
    assertEquals(text, guest.text + guest.sentTexts.join(""));
    assertEquals(report.ending, { kind: "halted" });
  });
}

// mov ax, 0x4000; mov ds, ax
const USE_SEGMENT_4000 = [0xb8, 0x00, 0x40, 0x8e, 0xd8];
const STORE = [0x66, 0xc7, 0x06, 0x20, 0x00, 0x44, 0x33, 0x22, 0x11]; // mov dword [0x20], 0x11223344

kvmTest("a read in a hole ends the guest, and says where", async () => {
  const program = [...USE_SEGMENT_4000, 0xa1, 0x10, 0x00, 0xf4]; // mov ax, [0x10]; hlt
  await using machine = await makeGuest({ program });
  const { report } = await run(machine);
  assertEquals(report.ending, { kind: "mmio", address: 0x40010, length: 2, written: undefined });
  assertStringIncludes(describeReport(report), "read 2 bytes at 0x40010");
  assertStringIncludes(describeReport(report), "rip 0x1005");
});

kvmTest("a write in a hole ends the guest, and says what", async () => {
  await using machine = await makeGuest({ program: [...USE_SEGMENT_4000, ...STORE, 0xf4] });
  const { report } = await run(machine);
  const written = Uint8Array.of(0x44, 0x33, 0x22, 0x11);
  assertEquals(report.ending, { kind: "mmio", address: 0x40020, length: 4, written });
  assertStringIncludes(describeReport(report), "wrote 44 33 22 11 as 4 bytes at 0x40020");
});

kvmTest("a hole reads all ones where the bus floats", async () => {
  const program = [
    ...USE_SEGMENT_4000,
    ...[0xa1, 0x10, 0x00], // mov ax, [0x10]
    ...[0xa3, 0x10, 0x00], // mov [0x10], ax: lost
    ...[0x2e, 0xa3, 0x00, 0x20], // mov cs:[DATA], ax
    0xf4, // hlt
  ];
  await using machine = await makeGuest({ program, options: { floatingBus: true } });
  const { report } = await run(machine);
  assertEquals(report.ending, { kind: "halted" });
  assertEquals(report.exits[6], 2);
  using current = machine.space.memory();
  assertEquals(current.memory.readObj(u32, DATA), 0xffff);
});

kvmTest("a guest reads a read-only region, and a write to it exits", async () => {
  const rom = GuestRegionMmap.fromRange(GuestAddress(0x40000), 0x1000);
  rom.writeObj(u32, 0x6f6b, MemoryRegionAddress(0x10));
  rom.mmap.protect(Permissions.Read);
  const ram = GuestRegionMmap.fromRange(GuestAddress(0), 0x1_0000);
  const program = [
    ...USE_SEGMENT_4000,
    ...[0xba, 0xf8, 0x03], // mov dx, 0x3f8
    ...[0xa0, 0x11, 0x00, 0xee], // mov al, [0x11]; out dx, al
    ...[0xa0, 0x10, 0x00, 0xee], // mov al, [0x10]; out dx, al
    ...STORE,
    0xf4,
  ];
  const memory = GuestMemoryMmap.fromRegions([ram, rom]);
  await using machine = await makeGuest({ program, memory });
  const { text, report } = await run(machine);
  assertEquals(text, "ok");
  const written = Uint8Array.of(0x44, 0x33, 0x22, 0x11);
  assertEquals(report.ending, { kind: "mmio", address: 0x40020, length: 4, written });
  assertEquals(rom.readObj(u32, MemoryRegionAddress(0x20)), 0);
});

kvmTest("an exception without handlers is a triple fault, and says where", async () => {
  const program = [0x0f, 0x0b]; // ud2
  await using machine = await makeGuest({ program, long: true });
  const { report } = await run(machine);
  assertEquals(report.ending, { kind: "triple fault" });
  const line = describeReport(report);
  assertStringIncludes(line, "triple fault");
  for (const name of ["rip 0x", "rsp 0x", "cr0 0x", "cr3 0x"]) assertStringIncludes(line, name);
});

kvmTest("an instruction that KVM cannot fetch is an internal error, and says where", async () => {
  const program = [
    ...[0xb8, 0x00, 0x00, 0x00, 0xc0], // mov eax, 0xc0000000
    ...[0xff, 0xe0], // jmp rax: into a hole
  ];
  await using machine = await makeGuest({ program, long: true });
  const { report } = await run(machine);
  assertEquals(report.ending.kind, "internal error");
  assertStringIncludes(describeReport(report), "suberror 1");
  assertStringIncludes(describeReport(report), "rip 0xc0000000");
});
