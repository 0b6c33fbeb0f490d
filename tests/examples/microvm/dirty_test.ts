import { assertEquals } from "@std/assert";
import { AtomicBitmap, dirtyRuns, GuestAddress, GuestMemoryMmap, u8 } from "@vmm/guest-memory";
import { kvmTest, makeGuest, PAGE, run } from "./kvm_guest.ts";

function pagesIn(log: Uint8Array): number[] {
  const bitmap = new AtomicBitmap(log.length * 8 * PAGE, PAGE);
  bitmap.merge(log);
  return Array.from({ length: bitmap.len }, (_, page) => page)
    .filter((page) => bitmap.isBitSet(page));
}

function tracked(size: number): GuestMemoryMmap {
  return GuestMemoryMmap.fromRanges([[GuestAddress(0), size]], {
    bitmap: (length) => new AtomicBitmap(length, PAGE),
  });
}

const options = { trackDirtyPages: true };

kvmTest("the dirty log is the pages that a 16-bit guest wrote", async () => {
  const store = (segment: number) => [
    ...[0xb8, segment & 0xff, segment >> 8], // mov ax, segment
    ...[0x8e, 0xc0], // mov es, ax
    ...[0x26, 0xa2, 0xff, 0x0f], // mov es:[0xfff], al
  ];
  const program = [...store(0x1000), ...store(0x1300), ...store(0x2f00), 0xf4];
  await using machine = await makeGuest({ program, memory: tracked(0x4_0000), options });
  await run(machine);
  const log = machine.collectDirtyPages().get(GuestAddress(0))!;
  assertEquals(pagesIn(log), [0x10, 0x13, 0x2f]);
  // It is taken with that.
  assertEquals(pagesIn(machine.collectDirtyPages().get(GuestAddress(0))!), []);
});

const LONG_PROGRAM = [
  ...[0xbb, 0x00, 0x00, 0x20, 0x00], // mov ebx, 0x200000
  ...[0xc6, 0x03, 0x01], // mov byte [rbx], 1
  ...[0xc6, 0x83, 0x00, 0x50, 0x00, 0x00, 0x01], // mov byte [rbx + 0x5000], 1
  ...[0xc6, 0x83, 0x00, 0x00, 0x10, 0x00, 0x01], // mov byte [rbx + 0x100000], 1
  0xf4,
];

kvmTest("the dirty log has the page tables too, whose accessed bits are set", async () => {
  const memory = tracked(4 * 2 ** 20);
  await using machine = await makeGuest({ program: LONG_PROGRAM, long: true, memory, options });
  await run(machine);
  const log = machine.collectDirtyPages().get(GuestAddress(0))!;
  const tables = [0x9, 0xa, 0xb];
  assertEquals(pagesIn(log), [...tables, 0x200, 0x205, 0x300]);
});

kvmTest("merged, what host and guest wrote is in one bitmap", async () => {
  const memory = tracked(4 * 2 ** 20);
  await using machine = await makeGuest({ program: LONG_PROGRAM, long: true, memory, options });
  // The program and the tables are there; begin anew.
  const all = memory.findRegion(GuestAddress(0))!.bitmap;
  assertEquals([all.dirtyAt(0x1000), all.dirtyAt(0x206 * PAGE)], [true, false]);
  memory.writeObj(u8, 1, GuestAddress(0x206 * PAGE));
  await run(machine);
  machine.collectDirtyPages();
  const high = [...dirtyRuns(memory)].filter(([start]) => start >= 2 ** 20);
  assertEquals(high, [
    [GuestAddress(0x200 * PAGE), PAGE],
    [GuestAddress(0x205 * PAGE), 2 * PAGE],
    [GuestAddress(0x300 * PAGE), PAGE],
  ]);
});
