import { assertEquals, assertRejects } from "@std/assert";
import {
  GuestAddress,
  GuestRegionMmap,
  MemoryRegionAddress,
  MemoryRegionOverlap,
  u32,
  u8,
} from "@vmm/guest-memory";
import { DRIVER_OK, NEGOTIATION, TinyQueue } from "../../../examples/microvm/tiny_driver.ts";
import { TRANSMIT_QUEUE } from "../../../examples/microvm/virtio_console.ts";
import { kvmTest, makeGuest, run } from "./kvm_guest.ts";
import { dword, leaveWrites, performWrites } from "./writing_guest.ts";

const PLUGGED = GuestAddress(0x40000);

// mov ax, 0x4000; mov ds, ax
const USE_PLUGGED = [0xb8, 0x00, 0x40, 0x8e, 0xd8];

kvmTest("memory plugged in while the guest runs is there for it and for its devices", async () => {
  const queue = new TinyQueue(TRANSMIT_QUEUE, GuestAddress(PLUGGED + 0x1000));
  const hello = { address: GuestAddress(PLUGGED + 0x100), length: 5 };
  const writes = [...NEGOTIATION, ...queue.setUp(), DRIVER_OK, ...queue.request([hello])];
  const program = [
    ...[0xbb, ...dword(PLUGGED)], // mov ebx, PLUGGED
    // again:
    ...[0x8a, 0x03], // mov al, [rbx]
    ...[0x3c, 0xff], // cmp al, 0xff: nothing there yet
    ...[0x74, 0xfa], // je again
    ...[0xba, ...dword(0x3f8), 0xee], // mov edx, 0x3f8; out dx, al
    // The device may get the new map a moment later: then it needs a reset, which the list begins
    // with.
    ...performWrites(writes),
    ...[0x81, 0x3c, 0x25, ...dword(queue.usedIndex), ...dword(0x1_0000)], // cmp dword [used], 1 << 16
    ...[0x75, 0xe2], // jne performWrites
    0xf4, // hlt
  ];
  await using machine = await makeGuest({ program, long: true, options: { floatingBus: true } });
  leaveWrites(machine, writes);
  const outcome = run(machine);
  // It looks for a while, in vain.
  await new Promise((resolve) => setTimeout(resolve, 100));
  const region = GuestRegionMmap.fromRange(PLUGGED, 0x2000);
  region.writeObj(u8, 0x3e, MemoryRegionAddress(0)); // ">"
  region.writeSlice(new TextEncoder().encode("hello"), MemoryRegionAddress(0x100));
  await machine.plug(region);
  const { text, report } = await outcome;
  assertEquals([text, report.ending.kind], [">hello", "halted"]);
});

kvmTest("an access to memory that was unplugged exits", async () => {
  const program = [
    ...USE_PLUGGED,
    ...[0xba, 0xf8, 0x03], // mov dx, 0x3f8
    ...[0xb0, 0x0a, 0xee], // mov al, "\n"; out dx, al
    // again:
    ...[0x66, 0xff, 0x06, 0x00, 0x00], // inc dword [0]
    ...[0xeb, 0xf9], // jmp again
  ];
  const ranges = [[GuestAddress(0), 0x1_0000], [PLUGGED, 0x1000]] as const;
  await using machine = await makeGuest({ program, ranges });
  const running = Promise.withResolvers<void>();
  const reports = machine.run(() => running.resolve());
  await running.promise;
  using current = machine.space.memory();
  while (current.memory.readObj(u32, PLUGGED) === 0) await new Promise((next) => setTimeout(next));
  using region = await machine.unplug(PLUGGED, 0x1000);
  const [report] = await reports;
  const { ending } = report!;
  assertEquals(ending.kind === "mmio" && [ending.address, ending.length], [0x40000, 4]);
  // The host still has it, and what the guest wrote last.
  assertEquals(region.readObj(u32, MemoryRegionAddress(0)) > 0, true);
  using after = machine.space.memory();
  assertEquals(after.memory.numRegions, 1);
});

kvmTest("memory that overlaps is not plugged in", async () => {
  await using machine = await makeGuest({ program: [0xf4] });
  using region = GuestRegionMmap.fromRange(GuestAddress(0x8000), 0x1000);
  await assertRejects(() => machine.plug(region), MemoryRegionOverlap);
  assertEquals((await run(machine)).report.ending.kind, "halted");
});
