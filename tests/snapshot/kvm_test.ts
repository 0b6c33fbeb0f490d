import { assertEquals } from "@std/assert";
import { AtomicBitmap, GuestAddress, GuestMemoryMmap, takeDirty } from "../../mod.ts";
import { WriteTracker } from "../../src/snapshot/mod.ts";
import { kvmTest, makeGuest, PAGE, run } from "../examples/microvm/kvm_guest.ts";
import { pagesOf, reasonOf, trackerTest } from "./tracking.ts";

const PROGRAM = [
  ...[0xbb, 0x00, 0x00, 0x20, 0x00], // mov ebx, 0x200000
  ...[0xb9, 0x40, 0x00, 0x00, 0x00], // mov ecx, 64
  // again:
  ...[0xc6, 0x03, 0x01], // mov byte [rbx], 1
  ...[0x8a, 0x83, 0x00, 0x10, 0x00, 0x00], // mov al, [rbx + 0x1000]
  ...[0x81, 0xc3, 0x00, 0x30, 0x00, 0x00], // add ebx, 0x3000
  ...[0xff, 0xc9], // dec ecx
  ...[0x75, 0xed], // jnz again
  0xf4,
];

const trackedKvmTest = reasonOf("writeTracker") === undefined ? kvmTest : trackerTest;

trackedKvmTest(
  "a write tracker sees what a guest writes, as the dirty log of KVM does",
  async () => {
    const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 4 * 2 ** 20]], {
      bitmap: (length) => new AtomicBitmap(length, PAGE),
    });
    const options = { trackDirtyPages: true };
    await using machine = await makeGuest({ program: PROGRAM, long: true, memory, options });
    using tracker = WriteTracker.start(memory);
    takeDirty(memory);
    await run(machine);
    const bytes = tracker.collect();
    const found = [...takeDirty(memory)];
    machine.collectDirtyPages();
    const logged = [...takeDirty(memory)];
    const written = Array.from({ length: 64 }, (_, i) => 0x20_0000 + 0x3000 * i);
    // The tables too, whose accessed bits are set.
    assertEquals(pagesOf(found), [0x9000, 0xa000, 0xb000, ...written]);
    assertEquals(found, logged);
    assertEquals(bytes, (3 + 64) * PAGE);
  },
);
