import { assertEquals } from "@std/assert";
import { GuestAddress, GuestRegionMmap, MemoryRegionAddress, u32, u64 } from "@vmm/guest-memory";
import type { Machine } from "../../../examples/microvm/machine.ts";
import {
  DRIVER_OK,
  NEGOTIATED,
  NEGOTIATION,
  TinyQueue,
} from "../../../examples/microvm/tiny_driver.ts";
import { RECEIVE_QUEUE, TRANSMIT_QUEUE } from "../../../examples/microvm/virtio_console.ts";
import {
  MAGIC,
  Register,
  Status,
  VIRTIO_LENGTH,
  VIRTIO_START,
} from "../../../examples/microvm/virtio_registers.ts";
import { type Guest, kvmTest, makeGuest, run } from "./kvm_guest.ts";
import { dword, leaveWrites, performWrites } from "./writing_guest.ts";

const BUFFER = GuestAddress(0x3000);
const TRANSMIT = new TinyQueue(TRANSMIT_QUEUE, GuestAddress(0x4000));
const RECEIVE = new TinyQueue(RECEIVE_QUEUE, GuestAddress(0x5000));
/** Where a program leaves what it read. */
const ANSWER = GuestAddress(0x3800);

// mov ebx, VIRTIO_START + register; mov eax, [rbx]; mov [ANSWER], eax
function keep(register: number): number[] {
  return [
    ...[0xbb, ...dword(VIRTIO_START + register), 0x8b, 0x03],
    ...[0x89, 0x04, 0x25, ...dword(ANSWER)],
  ];
}

async function answerOf(guest: Omit<Guest, "long">, writes: Parameters<typeof leaveWrites>[1]) {
  await using machine = await makeGuest({ ...guest, long: true });
  leaveWrites(machine, writes);
  using current = machine.space.memory();
  const { text, report } = await run(machine);
  assertEquals(report.ending.kind, "halted");
  const wide = current.memory.readObj(u64, GuestAddress(ANSWER + 8));
  return { text, answer: current.memory.readObj(u32, ANSWER), wide };
}

const TYPED = "typed at a console";
const TYPED_SPACE = { address: BUFFER, length: TYPED.length, isWritable: true };
const WAIT_FOR_TYPED = [
  ...NEGOTIATION,
  ...RECEIVE.setUp(),
  ...TRANSMIT.setUp(),
  DRIVER_OK,
  ...RECEIVE.request([TYPED_SPACE]),
];

// Waits for what is typed, and then prints what is anywhere in memory.
async function makeEcho(address: GuestAddress, length: number): Promise<Machine> {
  const print = TRANSMIT.request([{ address, length }]);
  const program = [
    ...performWrites(WAIT_FOR_TYPED),
    ...[0xba, ...dword(0x3f8), 0xb0, 0x0a, 0xee], // mov edx, 0x3f8; mov al, "\n"; out dx, al
    // again:
    ...[0x81, 0x3c, 0x25, ...dword(RECEIVE.usedIndex), ...dword(0x1_0000)], // cmp dword [used], …
    ...[0x75, 0xf3], // jne again
    ...[0xb9, ...dword(print.length)], // mov ecx, print.length
    ...performWrites([]).slice(10), // with the rest of the list
    0xf4, // hlt
  ];
  const machine = await makeGuest({ program, long: true });
  leaveWrites(machine, [...WAIT_FOR_TYPED, ...print]);
  return machine;
}

kvmTest("a guest echoes what is typed at a virtio console", async () => {
  await using machine = await makeEcho(BUFFER, TYPED.length);
  let text = "";
  const [report] = await machine.run((bytes) => {
    // It waits now.
    if (text === "") machine.type(new TextEncoder().encode(TYPED));
    text += new TextDecoder().decode(bytes);
  });
  assertEquals([text, report!.ending.kind], [`\n${TYPED}`, "halted"]);
});

kvmTest("memory plugged in is there for a queue that is in use", async () => {
  const plugged = GuestAddress(0x4_0000);
  const region = GuestRegionMmap.fromRange(plugged, 0x1000);
  region.writeSlice(new TextEncoder().encode("plugged"), MemoryRegionAddress(0));
  await using machine = await makeEcho(plugged, 7);
  let text = "";
  const [report] = await machine.run((bytes) => {
    if (text === "") {
      machine.plug(region).then(() => machine.type(new TextEncoder().encode(TYPED)));
    }
    text += new TextDecoder().decode(bytes);
  });
  assertEquals([text, report!.ending.kind], ["\nplugged", "halted"]);
});

kvmTest(
  "a guest that breaks a ring sees that the device needs a reset, and can reset it",
  async () => {
    const nowhere = { address: GuestAddress(0xfff_f000), length: 5 };
    const request = (buffer: { address: GuestAddress; length: number }) => [
      ...[...NEGOTIATION, ...TRANSMIT.setUp(), DRIVER_OK, ...TRANSMIT.request([buffer])],
    ];
    const bad = request(nowhere);
    const program = [...performWrites(bad), ...keep(Register.status), 0xf4];
    const broken = NEGOTIATED | Status.driverOk | Status.needsReset;
    assertEquals(await answerOf({ program }, bad), { text: "", answer: broken, wide: 0n });

    const both = [...bad, ...request({ address: BUFFER, length: 1 })];
    const reset = [...performWrites(both), ...keep(Register.status), 0xf4];
    const healthy = NEGOTIATED | Status.driverOk;
    assertEquals(await answerOf({ program: reset }, both), {
      text: "\0",
      answer: healthy,
      wide: 0n,
    });
  },
);

kvmTest("a guest may access registers in any width and place", async () => {
  const program = [
    ...[0xbb, ...dword(VIRTIO_START)], // mov ebx, VIRTIO_START
    ...[0x8a, 0x03, 0x88, 0x03], // mov al, [rbx]; mov [rbx], al
    ...[0x66, 0x8b, 0x43, 0x01, 0x66, 0x89, 0x43, 0x01], // mov ax, [rbx + 1]; and back
    ...[0x48, 0x8b, 0x43, 0x70, 0x48, 0x89, 0x43, 0x70], // mov rax, [rbx + 0x70]; and back
    ...[0x48, 0x89, 0x04, 0x25, ...dword(ANSWER + 8)], // mov [ANSWER + 8], rax
    ...[0x8b, 0x43, 0x6e, 0x89, 0x43, 0x6e], // mov eax, [rbx + 0x6e]; and back
    // Over the end of the registers, where KVM makes two accesses of it.
    ...[0x81, 0xc3, ...dword(VIRTIO_LENGTH - 3)], // add ebx, VIRTIO_LENGTH - 3
    ...[0x48, 0x8b, 0x03, 0x48, 0x89, 0x03], // mov rax, [rbx]; mov [rbx], rax
    ...keep(Register.magicValue),
    0xf4, // hlt
  ];
  const outcome = await answerOf({ program, options: { floatingBus: true } }, []);
  assertEquals(outcome, { text: "", answer: MAGIC, wide: 2n ** 64n - 1n });
});

kvmTest("without a floating bus, an access beside the registers ends the guest", async () => {
  const program = [0xbb, ...dword(VIRTIO_START + VIRTIO_LENGTH), 0x8b, 0x03, 0xf4];
  await using machine = await makeGuest({ program, long: true });
  const { report } = await run(machine);
  const address = VIRTIO_START + VIRTIO_LENGTH;
  assertEquals(report.ending, { kind: "mmio", address, length: 4, written: undefined });
});
