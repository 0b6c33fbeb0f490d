import { assert, assertEquals } from "@std/assert";
import {
  AtomicBitmap,
  Backing,
  type GuestMemoryMmap,
  GuestMemoryMmap as Mmap,
  u32,
} from "../../mod.ts";
import {
  FaultHandler,
  restore,
  snapshotWhileRunning,
  writeSnapshot,
  WriteTracker,
} from "../../src/snapshot/mod.ts";
import { gpa } from "../support/values.ts";
import { PAGE, scratchFile } from "./memories.ts";
import { takePages } from "./tracking.ts";

const PAGES = 1000;
const RANGES = [[gpa(0), PAGES * PAGE]] as const;
// linux/mman.h
const MADV_PAGEOUT = 21;

/** A file that the kernel swaps to, until the end: for root only. */
function swapFile(): Disposable {
  const path = Deno.makeTempFileSync();
  const run = (command: string) => {
    const { success, stderr } = new Deno.Command(command, { args: [path] }).outputSync();
    if (!success) throw new Error(new TextDecoder().decode(stderr).trim());
  };
  try {
    Deno.chmodSync(path, 0o600);
    // It must not have holes.
    Deno.writeFileSync(path, new Uint8Array(2 ** 25));
    run("mkswap");
    run("swapon");
  } catch (error) {
    Deno.removeSync(path);
    throw error;
  }
  return {
    [Symbol.dispose]() {
      run("swapoff");
      Deno.removeSync(path);
    },
  };
}

const whyNot = (() => {
  if (Deno.build.os !== "linux") return "needs Linux";
  if (Deno.uid() !== 0) return "not root";
  try {
    swapFile()[Symbol.dispose]();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
})();

function swapTest(name: string, fn: () => Promise<void>): void {
  const ignore = whyNot !== undefined;
  Deno.test({ name: ignore ? `${name} (ignored: ${whyNot})` : name, ignore, fn });
}

// Returns how much of it is swapped out, in KiB.
function swapOut(memory: GuestMemoryMmap): number {
  const library = Deno.dlopen("libc.so.6", {
    madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
  });
  const { hostAddress } = memory.describe()[0]!;
  const { madvise } = library.symbols;
  assertEquals(madvise(BigInt(hostAddress), BigInt(PAGES * PAGE), MADV_PAGEOUT), 0);
  library.close();
  const start = hostAddress!.toString(16);
  const entry = RegExp(`^${start}-[^]*?^Swap: +(\\d+) kB`, "m");
  return Number(entry.exec(Deno.readTextFileSync("/proc/self/smaps"))![1]);
}

function wrongPages(memory: GuestMemoryMmap): number[] {
  return Array.from({ length: PAGES }, (_, page) => page).filter((page) => {
    return memory.readObj(u32, gpa(page * PAGE)) !== (page % 3 === 0 ? page + 1 : 0);
  });
}

for (
  const [name, backing] of [["private", Backing.anonymous()], ["a memfd", Backing.memfd()]] as const
) {
  swapTest(`snapshots and trackers find what is swapped out: ${name}`, async () => {
    using _swap = swapFile();
    using file = scratchFile();
    using memory = Mmap.fromRanges(RANGES, {
      backing,
      bitmap: (length) => new AtomicBitmap(length, PAGE),
    });
    for (let page = 0; page < PAGES; page += 3) memory.writeObj(u32, page + 1, gpa(page * PAGE));
    for (const write of [writeSnapshot, snapshotWhileRunning]) {
      assert(swapOut(memory) > 0);
      const { written } = await write(memory, file.fd);
      assertEquals(written, Math.ceil(PAGES / 3) * PAGE);
      using restored = restore(RANGES, file.fd, { mode: "eager" });
      assertEquals(wrongPages(restored), []);
    }
    using tracker = WriteTracker.start(memory);
    takePages(memory);
    const poke = (page: number) => memory.getSlice(gpa(page * PAGE), 1).rawView()[0]!++;
    poke(3);
    poke(4);
    assert(swapOut(memory) > 0);
    assertEquals(tracker.collect(), 2 * PAGE);
    swapOut(memory);
    poke(6);
    memory.readObj(u32, gpa(9 * PAGE));
    assertEquals(tracker.collect(), PAGE);
    assertEquals(takePages(memory), [3, 4, 6].map((page) => page * PAGE));
    swapOut(memory);
    assertEquals(tracker.collect(), 0);
  });
}

swapTest("what is swapped out while memory is loaded is not loaded again", async () => {
  using _swap = swapFile();
  using file = scratchFile();
  {
    using memory = Mmap.fromRanges(RANGES);
    for (let page = 0; page < PAGES; page += 3) memory.writeObj(u32, page + 1, gpa(page * PAGE));
    await writeSnapshot(memory, file.fd);
  }
  using memory = restore(RANGES, file.fd, { mode: "lazy", prefetch: false });
  const { done } = FaultHandler.of(memory);
  memory.writeObj(u32, 7, gpa(PAGE));
  for (let page = 0; page < 500; page += 3) memory.readObj(u32, gpa(page * PAGE));
  assert(swapOut(memory) > 0);
  assertEquals(memory.readObj(u32, gpa(PAGE)), 7);
  memory.writeObj(u32, 0, gpa(PAGE));
  assertEquals(wrongPages(memory), []);
  await done;
});
