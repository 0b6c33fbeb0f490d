/** Truncation under a mapping: what a lease prevents, and what nothing does. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Backing, MmapRegion, OptionRefused, Permissions, SystemError } from "../../../mod.ts";
import { closeSync, openSync, statSync } from "node:fs";
import { runProgram } from "./crash/run.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { open } from "../../support/posix.ts";
import { temporaryFile } from "../../support/temporary_file.ts";

linuxTest("without a lease: truncation takes private pages too that were written", async () => {
  const { signal, stdout } = await runProgram("truncated_private_file");
  // The page that was written to, and reads 9, is gone with the file's.
  assertEquals([signal, stdout], ["SIGBUS", "9"]);
});

linuxTest("with a lease: whoever truncates waits until the content is copied", async () => {
  const { code, signal, stdout, stderr } = await runProgram("leased_file");
  assertEquals([code, signal, stderr], [0, null, ""]);
  assertEquals(JSON.parse(stdout), {
    // The other waited, the last page was read meanwhile, then the file was empty.
    order: ["asked", "copied", "truncated"],
    copied: 7,
    size: 0,
    // Who will not wait is refused instead.
    nonBlocking: false,
  });
});

linuxTest("a lease of a file that is open for writing is refused by name", () => {
  using file = temporaryFile(4096);
  using writer = Deno.openSync(file.path, { read: true, write: true });
  assertEquals(writer.statSync().size, 4096);
  const fd = openSync(file.path, "r");
  const backing = Backing.file(fd, { private: true, lease: () => {} });
  const error = assertThrows(() => new MmapRegion(4096, { backing }), OptionRefused);
  assertEquals(error.option, "lease");
  assert(error.cause instanceof SystemError && error.cause.code === "EAGAIN");
  assertThrows(() => Backing.file(fd, { lease: 1 as never }), TypeError);
  closeSync(fd);
});

linuxTest("a lease ends when the memory is closed", () => {
  using file = temporaryFile(4096);
  using reader = Deno.openSync(file.path);
  const backing = Backing.file(reader, { private: true, lease: () => {} });
  new MmapRegion(4096, { backing }).close();
  // Would wait for 45 seconds.
  using writer = Deno.openSync(file.path, { write: true, truncate: true });
  assertEquals(writer.statSync().size, 0);
});

linuxTest("leases of one file, as of clones of a snapshot, end with the last memory", async () => {
  const { code, signal, stdout, stderr } = await runProgram("leased_clones");
  assertEquals([code, signal, stderr], [0, null, ""]);
  // The clone that was closed is not asked, the others are, and the file waits for both.
  assertEquals(JSON.parse(stdout), { asked: ["second", "third"], done: 2, size: 0 });
});

linuxTest("a lease lasts until every thread has closed the memory", async () => {
  const { code, signal, stdout, stderr } = await runProgram("leased_by_two_threads");
  assertEquals([code, signal, stderr], [0, null, ""]);
  assertEquals(JSON.parse(stdout), { asked: 1, seen: 7, size: 0, again: 0, mayWrite: true });
});

linuxTest("a lease stays when another thread ends its own of the same descriptor", async () => {
  using file = temporaryFile(4096);
  using reader = open(file.path, "r");
  const { ino } = statSync(file.path);
  const countLeases = () =>
    Deno.readTextFileSync("/proc/locks").split("\n")
      .filter((line) => line.includes("LEASE") && line.includes(`:${ino} `)).length;
  const lease = () => {};
  const region = new MmapRegion(4096, {
    backing: Backing.file(reader.fd, { lease }),
    protection: Permissions.Read,
  });
  assertEquals(countLeases(), 1);
  const code = `
    import { Backing, MmapRegion } from "${import.meta.resolve("../../../mod.ts")}";
    const backing = Backing.file(${reader.fd}, { lease() {} });
    new MmapRegion(4096, { backing, protection: 1 }).close();
    postMessage("closed");`;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(code)}`, { type: "module" });
  await new Promise((resolve) => worker.onmessage = resolve);
  assertEquals(countLeases(), 1);
  region.close();
  assertEquals(countLeases(), 0);
  worker.terminate();
});
