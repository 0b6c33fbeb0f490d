/**
 * What would end the process, in separate processes: those without the library show that the
 * programs can fail, and how.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Ending, runProgram } from "./crash/run.ts";
import { linuxTest } from "../../support/linux_test.ts";

/** What a program that must not crash has printed. */
function result({ code, signal, stdout, stderr }: Ending): unknown {
  assertEquals([signal, code, stderr], [null, 0, ""]);
  return JSON.parse(stdout);
}

linuxTest("without the library: reading unmapped memory ends the process by SIGSEGV", async () => {
  const { signal, stdout } = await runProgram("naive_read_after_unmap");
  assertEquals([signal, stdout], ["SIGSEGV", "7"]);
});

linuxTest("reading closed memory gives nothing, or typed errors", async () => {
  assertEquals(result(await runProgram("read_after_close")), [
    [true, 0, 0, 0],
    ...["TypeError", "TypeError"],
    ...["MemoryClosed", "MemoryClosed", "MemoryClosed", "MemoryClosed", "MemoryClosed"],
    "MemoryClosed",
  ]);
});

linuxTest("without the library: writing read-only memory ends the process by SIGSEGV", async () => {
  const { signal, stdout } = await runProgram("naive_write_to_read_only");
  assertEquals([signal, stdout], ["SIGSEGV", "0"]);
});

linuxTest("writing read-only memory throws AccessDenied", async () => {
  assertEquals(
    result(await runProgram("write_to_read_only")),
    Array.from({ length: 6 }, () => "AccessDenied"),
  );
});

linuxTest("no number at any entry point crashes, hangs or leaves the memory", async () => {
  const { calls, overwritten, outcomes, broken } = result(
    await runProgram("hostile_numbers"),
  ) as {
    calls: number;
    overwritten: boolean;
    outcomes: Record<string, number>;
    broken: Record<string, string>;
  };
  assertEquals(broken, {});
  assertEquals(overwritten, false);
  // The numbers reach what they are meant to reach.
  assert(calls > 250_000);
  for (const name of ["completed", "OutOfBounds", "Overflow", "InvalidGuestAddress"]) {
    assert(outcomes[name]! > 5_000, name);
  }
});

linuxTest("closing memory in the middle of an access completes it or throws", async () => {
  const outcomes = result(await runProgram("close_in_the_middle")) as Record<string, string>;
  const typed = ["completed", "MemoryClosed", "RangeError", "TypeError"];
  const others = Object.entries(outcomes).filter(([, outcome]) => !typed.includes(outcome));
  assertEquals(others, []);
  assertEquals(outcomes["iterating regions"], "MemoryClosed");
  const converting = Object.entries(outcomes).filter(([name]) => name.includes("that converts"));
  assertEquals(converting.map(([, outcome]) => outcome), converting.map(() => "TypeError"));
  const buffers = Object.entries(outcomes).filter(([name]) =>
    /^(read|write) .* a buffer/.test(name)
  );
  assertEquals(buffers.map(([, outcome]) => outcome), buffers.map(() => "completed"));
  assertEquals([converting.length, buffers.length], [11, 8]);
  assertEquals(outcomes["readVolatile that closes before it writes"], "MemoryClosed");
  assertEquals(outcomes["exact readSync that closes across regions"], "MemoryClosed");
});

linuxTest("a transferred buffer keeps its memory: close() throws and does not unmap", async () => {
  assertEquals(result(await runProgram("transferred_buffer")), [
    // rawView() of a buffer that is gone, close(), close() again, an access
    ...["MemoryClosed", "TypeError", "completed", "MemoryClosed"],
    [7, 8, 7],
  ]);
});

linuxTest("an asynchronous read that waits when the memory is closed does not crash", async () => {
  const directory = Deno.makeTempDirSync();
  try {
    const pipe = `${directory}/pipe`;
    assert(new Deno.Command("mkfifo", { args: [pipe] }).outputSync().success);
    const { signal, code, stdout } = await runProgram("pending_read", pipe);
    assertEquals([signal, code], [null, 0]);
    // EFAULT, unless something else has been mapped there since.
    assertMatch(stdout, /^(refused: Bad address|completed)/);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

linuxTest("MAP_FIXED_NOREPLACE is refused as MAP_FIXED is, and maps nothing at null", async () => {
  assertEquals(result(await runProgram("null_page")), {
    outcome: "MapFixed",
    nullIsMapped: false,
  });
});

linuxTest("huge pages that the host does not have are refused when they are mapped", async () => {
  // Where they are not reserved, the first access would end the process by SIGBUS.
  assertEquals(result(await runProgram("huge_pages")), "OptionRefused");
});

linuxTest("a limit: a file truncated under its mapping ends the process by SIGBUS", async () => {
  // The kernel's behaviour. What is refused is a mapping past the end when it is made.
  const { signal, stdout } = await runProgram("truncated_file");
  assertEquals([signal, stdout], ["SIGBUS", "0\n0"]);
});

linuxTest("a transferred buffer keeps forgotten memory mapped, with its content", async () => {
  const { collected, mapped, before, after, written } = result(
    await runProgram("transferred_and_forgotten"),
  ) as Record<string, unknown>;
  assertEquals([collected, mapped], [true, 1]);
  assertEquals([before, after, written], [7, 7, 8]);
});

linuxTest(
  "memory that is forgotten while a descriptor is read into it does not crash",
  async () => {
    const directory = Deno.makeTempDirSync();
    try {
      const pipe = `${directory}/pipe`;
      assert(new Deno.Command("mkfifo", { args: [pipe] }).outputSync().success);
      const { signal, code, stdout } = await runProgram("forgotten_read", pipe);
      assertEquals([signal, code, stdout], [null, 0, "100"]);
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  },
);
