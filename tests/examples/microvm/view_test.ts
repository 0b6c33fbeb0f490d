import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { capabilities } from "@vmm/guest-memory";
import { kvmTest } from "./kvm_guest.ts";
import { start } from "./program.ts";

kvmTest("microvm --view serves a page until a signal comes", async () => {
  if (!capabilities().trackers.writeTracker.available) {
    return console.log("skipped: the kernel does not track writes");
  }
  const program = start(["--view"], "null", ["--allow-all"]);
  const reader = program.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let printed = "";
  while (!printed.includes("\n")) {
    const { value, done } = await reader.read();
    assert(!done, "it ended before it printed where to look");
    printed += value;
  }
  const url = printed.trimEnd();
  assertMatch(url, /^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{32}\/$/);
  const response = await fetch(url);
  assertStringIncludes(await response.text(), "<title>Guest memory</title>");
  program.kill("SIGTERM");
  const { code } = await program.status;
  assertEquals(code, 0);
  await reader.cancel();
  assertEquals(await new Response(program.stderr).text(), "");
});
