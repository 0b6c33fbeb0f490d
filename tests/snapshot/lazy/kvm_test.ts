import { assert, assertEquals } from "@std/assert";
import { type GuestMemoryMmap, u64 } from "../../../mod.ts";
import { FaultHandler } from "../../../src/snapshot/mod.ts";
import { kvmTest, makeGuest, run } from "../../examples/microvm/kvm_guest.ts";
import { gpa } from "../../support/values.ts";
import { contentOf, lazyTest, PAGE, type Snapshot, snapshotOf, whyNotLazy } from "./lazy_memory.ts";
import { serveElsewhere } from "./lazy_process.ts";

const DATA = 0x20_0000;
const PAGES = 2000;
const RESULT = 0x3000;
const SIZE = DATA + PAGES * PAGE;

// Adds up the first words of pages, and writes the count that is left to the second words.
const PROGRAM = [
  ...[0x31, 0xd2], // xor edx, edx
  ...[0xbb, 0x00, 0x00, 0x20, 0x00], // mov ebx, DATA
  ...[0xb9, 0xd0, 0x07, 0x00, 0x00], // mov ecx, PAGES
  // again:
  ...[0x48, 0x03, 0x13], // add rdx, [rbx]
  ...[0x48, 0x89, 0x4b, 0x08], // mov [rbx + 8], rcx
  ...[0x81, 0xc3, 0x00, 0x10, 0x00, 0x00], // add ebx, 4096
  ...[0xff, 0xc9], // dec ecx
  ...[0x75, 0xef], // jnz again
  ...[0x48, 0x89, 0x14, 0x25, 0x00, 0x30, 0x00, 0x00], // mov [RESULT], rdx
  0xf4,
];

const hasContent = (address: number) => address >= DATA && address / PAGE % 3 !== 0;
const lazyKvmTest = whyNotLazy === undefined ? kvmTest : lazyTest;

function guestSnapshot(): Promise<Snapshot> {
  return snapshotOf([[0, SIZE]], hasContent);
}

// Runs the guest in a memory, while something is done to who loads it. Returns how often it was.
async function runMeanwhile(
  memory: GuestMemoryMmap,
  disturb: () => Promise<void>,
): Promise<number> {
  await using machine = await makeGuest({ program: PROGRAM, long: true, memory });
  let isOver = false;
  const running = run(machine).finally(() => isOver = true);
  let times = 0;
  for (; !isOver; times++) await disturb();
  const { report } = await running;
  assertEquals(report.ending.kind, "halted");
  assertRight(memory);
  return times;
}

function assertRight(memory: GuestMemoryMmap): void {
  const addresses = Array.from({ length: PAGES }, (_, page) => DATA + page * PAGE);
  const contents = addresses.map((at) => hasContent(at) ? contentOf(at) : 0n);
  const sum = contents.reduce((sum, content) => BigInt.asUintN(64, sum + content));
  assertEquals(memory.readObj(u64, gpa(RESULT)), sum);
  const found = addresses.map((at) => memory.readObj(u64, gpa(at)));
  assertEquals(found, contents);
  const written = addresses.map((at) => Number(memory.readObj(u64, gpa(at + 8))));
  assertEquals(written, addresses.map((_, page) => PAGES - page));
}

lazyKvmTest("a guest runs in memory whose handler is restarted again and again", async () => {
  using snapshot = await guestSnapshot();
  for (const prefetch of [false, true]) {
    using memory = snapshot.restore({ prefetch });
    const handler = FaultHandler.of(memory);
    const restarts = await runMeanwhile(memory, async () => {
      handler.restart();
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 30));
    });
    assert(restarts > 1, `${restarts} restarts`);
  }
});

lazyKvmTest("a guest runs in memory that processes load which are killed", async () => {
  using snapshot = await guestSnapshot();
  using memory = snapshot.restore({ thread: false });
  const handler = FaultHandler.of(memory);
  let other = await serveElsewhere(handler, snapshot, { prefetch: false });
  try {
    const kills = await runMeanwhile(memory, async () => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
      await other.kill();
      other = await serveElsewhere(handler, snapshot, { prefetch: false });
    });
    assert(kills > 0, `${kills} processes were killed`);
  } finally {
    await other.kill();
  }
});
