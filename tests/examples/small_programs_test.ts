/** The small programs, run as their first lines say. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { SMALL_PROGRAMS } from "./small_programs.ts";
import { linuxTest } from "../support/linux_test.ts";

const FOLDER = new URL("../../examples/", import.meta.url);
const MOST_LINES = 60;

/** Runs a program with the permissions that its first comment documents, and no other. */
async function run(name: string, args: readonly string[] = []): Promise<string> {
  const program = new URL(`${name}.ts`, FOLDER);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", ...documentedFlags(program), program.href, ...args],
  }).output();
  const text = new TextDecoder();
  assertEquals([text.decode(stderr), code], ["", 0]);
  return text.decode(stdout);
}

function documentedFlags(program: URL): string[] {
  const comment = Deno.readTextFileSync(program).split("*/")[0]!.replaceAll("\n * ", " ");
  return /`deno run (.*?)examples\//.exec(comment)![1]!.split(" ").filter((flag) => flag !== "");
}

linuxTest("quick_start maps memory with a hole, and an access to the hole throws", async () => {
  assertEquals(
    await run("quick_start"),
    `GuestRegionMmap 0x0-0x3fffffff 1 GiB anonymous private read-write
GuestRegionMmap 0x100000000-0x13fffffff 1 GiB anonymous private read-write
At 0x1000: Hello, guest!
At 4 GiB: 0xcafe
The descriptor at 0x2000 names 13 bytes at 0x1000
InvalidGuestAddress: Cannot access guest address 0x80000000: no region contains it
Of 16 bytes, 4 fit before the hole
`,
  );
});

Deno.test("custom_region reads and writes flash page by page, beside RAM", async () => {
  const stdout = await run("custom_region");
  assertStringIncludes(stdout, "\nFlashRegion 0x1000-0x1fff 4 KiB\n");
  assertStringIncludes(stdout, "\n  flash: 2 bytes written at offset 0x0\n");
  assertStringIncludes(stdout, "\n  read again: 0x12345678\n");
  const pages = Array.from(stdout.matchAll(/flash: (\d+) bytes written at offset (\S+)/g))
    .map(([, count, offset]) => [count, offset]);
  assertEquals(pages.slice(1), [["256", "0x100"], ["256", "0x200"], ["88", "0x300"]]);
  assertMatch(stdout, /\nHostAddressNotAvailable: [^\n]+\n$/);
});

Deno.test("device answers a request after each one that names a wrong address", async () => {
  const parts = (await run("device")).split("driver: ").slice(1);
  const [good, outside, impossible, after] = parts.map((part) => part.trimEnd().split("\n"));
  assertEquals(good, ["hello, device", "  answer: HELLO, DEVICE"]);
  assertEquals(outside, [
    "a buffer where no memory is",
    "  device: Cannot access guest address 0xdead0000: no region contains it",
    "  answer: none",
  ]);
  assertMatch(impossible![1]!, /^ {2}device: Cannot use chain \d: .*beyond 2\^53/);
  assertEquals(impossible![2], "  answer: none");
  assertEquals(after, ["are you still there?", "  answer: ARE YOU STILL THERE?"]);
});

linuxTest("dirty_pages sends in each round what was written since the one before", async () => {
  assertEquals(
    await run("dirty_pages"),
    `First round: 20480 bytes
  0x1000: 16384 bytes
  0x100005000: 4096 bytes
Second round: 4096 bytes
  0x100005000: 4096 bytes
Third round: 0 bytes
The copy has 43 at 4 GiB + 0x5000
`,
  );
});

linuxTest("share_with_worker counts in two threads, and loses no count", async () => {
  const lines = (await run("share_with_worker")).split("\n");
  assertEquals(lines, [
    "Worker: attached the memory",
    "Main thread: counted to 100000",
    "Worker: counted to 100000",
    "The counter is 200000: no count was lost",
    "In memory: Hello from the Worker",
    "",
  ]);
});

linuxTest("share_with_process has each process see what the other one wrote", async () => {
  const stdout = await run("share_with_process");
  // Each process prints in its order; which of the two prints first is left open.
  const linesOf = (process: number) =>
    stdout.split("\n").filter((line) => line.startsWith(`Process ${process}: `))
      .map((line) => line.slice("Process 1: ".length));
  assertEquals(linesOf(1), ["sent 2 regions and 1 descriptor", "the counter is 42"]);
  const [first, second, ...rest] = linesOf(2);
  assertMatch(first!, /^GuestRegionMmap 0x0-0xfffff 1 MiB file \d+ at 0x0 shared read-write$/);
  assertMatch(second!, /^GuestRegionMmap 0x100000000-0x1000fffff 1 MiB file \d+ at 0x100000 /);
  assertEquals(rest, ['in memory is "Hello from process 1"', "added 42 to the counter"]);
});

linuxTest("file_loader loads itself, and refuses to where there is no room", async () => {
  const program = Deno.readFileSync(new URL("file_loader.ts", FOLDER));
  const start = program.subarray(0, 16).toHex().replaceAll(/..\B/g, "$& ");
  assertEquals(
    await run("file_loader"),
    `Loaded ${program.length} bytes at 0x100000
The first ones: ${start}
With 64 bytes of room: Cannot load ${program.length} bytes at 0x100000: no room
`,
  );
});

linuxTest("file_loader loads the file that it is called with", async () => {
  const path = Deno.makeTempFileSync();
  try {
    Deno.writeFileSync(path, Uint8Array.of(0xca, 0xfe));
    const stdout = await run("file_loader", [path]);
    assertEquals(stdout.split("\n").slice(0, 2), [
      "Loaded 2 bytes at 0x100000",
      "The first ones: ca fe",
    ]);
  } finally {
    Deno.removeSync(path);
  }
});

linuxTest("snapshot has two clones, of which only one has written", async () => {
  const stdout = await run("snapshot");
  assertMatch(stdout, /^The snapshot is a file of 536870912 bytes, of which \d+ were written\n/);
  assertStringIncludes(stdout, "\nThe first clone has counted to 1000\n");
  assertStringIncludes(stdout, "\nThe second clone has 42, as in the snapshot\n");
  const [first, second] = stdout.trimEnd().split("\n").slice(-2);
  if (stdout.includes("What was written is not known here: ")) return;
  assertMatch(
    first!,
    /^The first clone has written \d+ bytes at 0x1000, \d+ bytes at 0x100000000$/,
  );
  assertEquals(second, "The second clone has written nothing");
});

for (const name of SMALL_PROGRAMS) {
  Deno.test(`${name} is small, and imports nothing but the library`, () => {
    const source = Deno.readTextFileSync(new URL(`${name}.ts`, FOLDER));
    assert(source.trimEnd().split("\n").length <= MOST_LINES);
    for (const [, from] of source.matchAll(/from "([^"]+)"/g)) {
      assertMatch(from!, /^@vmm\/guest-memory(\/snapshot|\/virtio)?$/);
    }
  });
}
