import { assertEquals, assertRejects } from "@std/assert";
import {
  GuestAddress,
  GuestRegionMmap,
  MemoryRegionAddress,
  MemoryRegionOverlap,
  struct,
  u32,
  u32le,
  u64le,
  u8,
} from "@vmm/guest-memory";
import { STATUS_DONE, STATUS_REFUSED } from "../../../examples/microvm/doorbell.ts";
import { DATA, kvmTest, makeGuest, run } from "./kvm_guest.ts";

const Request = struct({ address: u64le, length: u32le, status: u32le });
const PLUGGED = GuestAddress(0x40000);

// mov ax, 0x4000; mov ds, ax
const USE_PLUGGED = [0xb8, 0x00, 0x40, 0x8e, 0xd8];

kvmTest("memory plugged in while the guest runs is there for it and for its devices", async () => {
  const program = [
    ...USE_PLUGGED,
    // again:
    ...[0xa0, 0x00, 0x00], // mov al, [0]
    ...[0x3c, 0xff], // cmp al, 0xff: nothing there yet
    ...[0x74, 0xf9], // je again
    ...[0xba, 0xf8, 0x03, 0xee], // mov dx, 0x3f8; out dx, al
    // ring: the device may get the new map a moment later
    ...[0xba, 0x00, 0x06], // mov dx, the doorbell
    ...[0x66, 0xb8, 0x10, 0x00, 0x04, 0x00], // mov eax, 0x40010
    ...[0x66, 0xef], // out dx, eax
    ...[0x66, 0x83, 0x3e, 0x1c, 0x00, STATUS_DONE], // cmp dword [0x1c], 1
    ...[0x75, 0xed], // jne ring
    0xf4, // hlt
  ];
  await using machine = await makeGuest({ program, options: { floatingBus: true } });
  const outcome = run(machine);
  // It looks for a while, in vain.
  await new Promise((resolve) => setTimeout(resolve, 100));
  const region = GuestRegionMmap.fromRange(PLUGGED, 0x1000);
  region.writeObj(u8, 0x3e, MemoryRegionAddress(0)); // ">"
  const request = { address: 0x40100n, length: 5, status: 0 };
  region.writeObj(Request, request, MemoryRegionAddress(0x10));
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

kvmTest("a device refuses numbers that no memory has", async () => {
  const program = [
    ...[0xba, 0x00, 0x06], // mov dx, the doorbell
    ...[0xbe, 0x00, 0x20], // mov si, DATA: addresses to ring with
    ...[0xb9, 0x06, 0x00], // mov cx, 6
    // again:
    ...[0x66, 0xad], // lodsd
    ...[0x66, 0xef], // out dx, eax
    ...[0xe2, 0xfa], // loop again
    0xf4, // hlt
  ];
  await using machine = await makeGuest({ program });
  const requests = [
    { address: 0xffff_ffff_ffff_ff00n, length: 0x200, status: 0 },
    { address: 0xfff0n, length: 0x20, status: 0 },
    { address: 0x4_0000n, length: 1, status: 0 },
    { address: 0x3000n, length: 0xffff_ffff, status: 0 },
    { address: 0x3000n, length: 2, status: 0 },
  ];
  using current = machine.space.memory();
  const { memory } = current;
  requests.forEach((request, i) => {
    memory.writeObj(u32, 0x3100 + i * 0x20, GuestAddress(DATA + i * 4));
    memory.writeObj(Request, request, GuestAddress(0x3100 + i * 0x20));
  });
  // A request that is in no memory itself.
  memory.writeObj(u32, 0xffff_fff8, GuestAddress(DATA + 5 * 4));
  memory.writeSlice(new TextEncoder().encode("ok"), GuestAddress(0x3000));
  const { text, report } = await run(machine);
  assertEquals([text, report.ending.kind], ["ok", "halted"]);
  const answers = requests.map((_, i) =>
    memory.readObj(Request, GuestAddress(0x3100 + i * 0x20)).status
  );
  assertEquals(answers, [...Array(4).fill(STATUS_REFUSED), STATUS_DONE]);
});
