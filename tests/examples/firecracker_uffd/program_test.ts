import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { existsSync } from "node:fs";
import { requestOf } from "../../../examples/firecracker_uffd/arguments.ts";
import { lazyTest } from "../../snapshot/lazy/lazy_memory.ts";
import { makeFolder, start } from "./processes.ts";

function leftovers(): string[] {
  return [...Deno.readDirSync(Deno.env.get("TMPDIR") || "/tmp")].map(({ name }) => name)
    .filter((name) => name.startsWith("firecracker-uffd-"));
}

lazyTest("the demonstration kills a handler, and another one loads the rest", async () => {
  const before = leftovers();
  await using running = start(["--size", "48"]);
  const { code, stdout, stderr } = await running.ended;
  assertEquals([code, stderr], [0, ""]);
  const wanted = [
    "a snapshot of 48 MiB",
    "handler 1  listening on ",
    "kill -9 handler 1",
    "vmm        the handler has ended",
    "handler 2  listening on ",
    "vmm        all pages are those of the file",
  ];
  for (const text of wanted) assertStringIncludes(stdout, text);
  assertMatch(stdout, /^handler 2 {2}VMM \d+: ended after .+ 48 MiB of 48 MiB loaded$/m);
  assertMatch(stdout, /^vmm {8}12,288 first touches: median [\d.]+ µs, p95 [\d.]+ µs$/m);
  assertEquals(leftovers(), before);
});

lazyTest("serve --no-prefetch loads what is touched, and ends with the VMM", async () => {
  using folder = makeFolder(64);
  await using handler = start(["serve", "--once", "--no-prefetch", ...folder.place]);
  await handler.said("listening");
  await using vmm = start(["vmm", ...folder.place]);
  assertEquals((await vmm.ended).code, 0);
  const { code, stdout, stderr } = await handler.ended;
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /ended after .+, working set 256 KiB \(64 faults\), 256 KiB of 256 KiB/);
  assertEquals(existsSync(folder.socket), false);
});

lazyTest("serve ends cleanly when the VMM is killed in the middle", async () => {
  using folder = makeFolder(16_384);
  for (const options of [["--no-prefetch"], []]) {
    await using handler = start(["serve", "--once", ...options, ...folder.place]);
    await handler.said("listening");
    await using vmm = start(["vmm", ...folder.place]);
    await vmm.said("% of the pages touched");
    vmm.child.kill("SIGKILL");
    const { code, stdout, stderr } = await handler.ended;
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, new RegExp(`^VMM ${vmm.child.pid}: ended after `, "m"));
    if (options.length > 0) assert(!stdout.includes("64 MiB of 64 MiB loaded"), stdout);
  }
});

lazyTest("serve removes its socket when it is interrupted", async () => {
  using folder = makeFolder(2);
  await using handler = start(["serve", ...folder.place]);
  await handler.said("listening");
  // Its listeners are there when it says so.
  await new Promise((resolve) => setTimeout(resolve, 100));
  handler.child.kill("SIGTERM");
  assertEquals((await handler.ended).code, 130);
  assertEquals(existsSync(folder.socket), false);
});

lazyTest("the program says in a line what it cannot do", async () => {
  using folder = makeFolder(2);
  const refusals: [string[], string][] = [
    [["vmm", ...folder.place], "ENOENT"],
    [["serve", "--socket", folder.socket, "--mem", "/nowhere"], "No such file"],
    [["serve"], "serve needs --socket and --mem"],
  ];
  for (const [args, reason] of refusals) {
    await using running = start(args);
    const { code, stdout, stderr } = await running.ended;
    assertEquals([code, stdout], [2, ""]);
    assertMatch(stderr, /^firecracker-uffd: [^\n]+\n$/);
    assertStringIncludes(stderr, reason);
  }
});

Deno.test("requestOf() reads what is asked for, and refuses what makes no sense", () => {
  const place = { socket: "S", mem: "M" };
  const args = ["--socket", "S", "--mem", "M"];
  assertEquals(requestOf([]), { run: "demo", size: 2 ** 27 });
  assertEquals(requestOf(["--help"]), undefined);
  assertEquals(requestOf(["vmm", ...args]), { run: "vmm", options: place });
  const serve = { ...place, once: true, prefetch: false };
  assertEquals(requestOf(["serve", ...args, "--once", "--no-prefetch"]), {
    run: "serve",
    options: serve,
  });
  const refused = [
    ["run", ...args],
    ["serve", "vmm", ...args],
    ["vmm", "--socket", "S"],
    ["vmm", ...args, "--once"],
    ["serve", ...args, "--size", "8"],
    ["--once"],
    ["--size", "0"],
    ["--size", "many"],
    ["--what"],
  ];
  for (const args of refused) {
    let message = "";
    try {
      requestOf(args);
    } catch (error) {
      message = (error as Error).message;
    }
    assertStringIncludes(message, "(see --help)", args.join(" "));
  }
});
