/** Truncation under a mapping: what a lease prevents, and what nothing does. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Backing, MmapRegion, OptionRefused, Permissions, SystemError, u8 } from "../../../mod.ts";
import { closeSync, constants, openSync, statSync } from "node:fs";
import { libc } from "../../../ffi/libc.ts";
import { runProgram } from "./crash/run.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { Peer } from "../../support/peer.ts";
import { open } from "../../support/posix.ts";
import { temporaryFile } from "../../support/temporary_file.ts";
import { until } from "../../support/until.ts";

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
  const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = descriptors();
  const error = assertThrows(() => new MmapRegion(4096, { backing }), OptionRefused);
  assertEquals([error.option, descriptors()], ["lease", before]);
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

linuxTest("the kernel's lease ends before its signal is not listened to any more", () => {
  using file = temporaryFile(4096);
  const { runtime } = libc();
  const { removeSignalListener } = runtime;
  let mayWrite: boolean | undefined;
  function remove(...args: Parameters<typeof removeSignalListener>): void {
    // Would send the signal if the lease were still there.
    const flags = constants.O_WRONLY | constants.O_NONBLOCK;
    try {
      closeSync(openSync(file.path, flags));
      mayWrite = true;
    } catch {
      mayWrite = false;
    }
    removeSignalListener(...args);
  }
  const region = leased(file.path, () => {});
  try {
    Object.assign(runtime, { removeSignalListener: remove });
    region.close();
  } finally {
    Object.assign(runtime, { removeSignalListener });
  }
  assertEquals(mayWrite, true);
});

/** Maps the file of a path to read, with a lease. */
function leased(path: string, lease: () => void | Promise<void>): MmapRegion {
  using reader = Deno.openSync(path);
  return new MmapRegion(4096, { backing: Backing.file(reader, { private: true, lease }) });
}

async function truncate(path: string): Promise<boolean> {
  return (await new Deno.Command("sh", { args: ["-c", `: > ${path}`] }).output()).success;
}

linuxTest(
  "each of several leases is asked for its own file, also after another has ended",
  async () => {
    using files = new DisposableStack();
    const paths = [0, 1, 2].map(() => files.use(temporaryFile(4096)).path);
    const asked: number[] = [];
    const regions = paths.map((path, i) => files.use(leased(path, () => void asked.push(i))));
    assertEquals([await truncate(paths[1]!), asked], [true, [1]]);
    regions[0]!.close();
    assertEquals([await truncate(paths[2]!), asked], [true, [1, 2]]);
  },
);

linuxTest("every lease of one file is asked, and the other waits for all", async () => {
  using file = temporaryFile(new Uint8Array(4096).fill(7));
  const order: unknown[] = [];
  const lease = (name: string, region: () => MmapRegion) => async () => {
    order.push(name);
    await new Promise((resolve) => setTimeout(resolve, 50));
    order.push(region().asVolatileSlice().readObj(u8, 0));
  };
  using one: MmapRegion = leased(file.path, lease("one", () => one));
  using two: MmapRegion = leased(file.path, lease("two", () => two));
  order.push(await truncate(file.path));
  assertEquals(order, ["one", "two", 7, 7, true]);
});

linuxTest("a lease is asked once, though another is asked meanwhile", async () => {
  using one = temporaryFile(4096);
  using two = temporaryFile(4096);
  const asked: string[] = [];
  const { promise: isOver, resolve: end } = Promise.withResolvers<void>();
  using _first = leased(one.path, () => {
    asked.push("one");
    return isOver;
  });
  using _second = leased(two.path, () => void asked.push("two"));
  const truncated = truncate(one.path);
  assert(await until(() => asked.length === 1));
  await truncate(two.path);
  end();
  assertEquals([await truncated, asked], [true, ["one", "two"]]);
});

linuxTest("a lease of memory that another thread closed last is asked no more", async () => {
  using one = temporaryFile(4096);
  using two = temporaryFile(4096);
  using peer = new Peer();
  const asked: string[] = [];
  const first = leased(one.path, () => void asked.push("one"));
  await peer.ask({ do: "attach one", region: first.share() });
  first.close();
  await peer.ask({ do: "close" });
  // Its descriptor may have the number of the first one's.
  using _second = leased(two.path, () => void asked.push("two"));
  assertEquals([await truncate(one.path), await truncate(two.path)], [true, true]);
  assertEquals(asked, ["two"]);
  // Until this thread has found that no other holds the memory.
  await until(() => false, 0.5);
});
