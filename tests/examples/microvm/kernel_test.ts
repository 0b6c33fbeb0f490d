/**
 * Boots a real Linux kernel, as far as it says how much memory it has. Where KVM emulates the
 * guest's kernel, that takes most of a minute.
 *
 * `deno task test:kernel` gets a kernel and runs this. By hand: MICROVM_KERNEL=FILE deno test ….
 *
 * @module
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { kvmTest } from "./kvm_guest.ts";
import { start } from "./program.ts";

const NAME = "a Linux kernel finds the memory that it was given";
const LIMIT_MS = 180_000;

const kernel = Deno.permissions.querySync({ name: "env", variable: "MICROVM_KERNEL" }).state ===
    "granted"
  ? Deno.env.get("MICROVM_KERNEL")
  : undefined;

if (kernel === undefined) {
  Deno.test.ignore(`${NAME} (ignored: MICROVM_KERNEL names no kernel)`, () => {});
} else {
  kvmTest(NAME, async () => {
    const began = performance.now();
    const child = start(["--kernel", kernel, "--memory", "256M"]);
    const timer = setTimeout(() => child.kill("SIGINT"), LIMIT_MS);
    const stderr = new Response(child.stderr).text();
    let text = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (/Memory: .*\r?\n/.test(text)) break;
    }
    clearTimeout(timer);
    const memory = /Memory: .*/.exec(text)?.[0];
    console.log(
      `${memory ?? "no line of memory"} after ${Math.round(performance.now() - began)} ms`,
    );
    child.kill("SIGINT");
    const { code } = await child.status;
    assertMatch(text, /^\[ +0\.000000\] Linux version \d+\.\d+/m);
    assertStringIncludes(text, "Command line: console=ttyS0");
    // BIOS-e820, without the last 384 KiB below 1 MiB.
    assertStringIncludes(text, "[mem 0x0000000000100000-0x000000000fffffff] usable");
    assertMatch(text, /Memory: \d+K\/261\d{3}K available/);
    assertMatch(await stderr, /vCPU 0 was stopped after/);
    assertEquals(code, 130);
  });
}
