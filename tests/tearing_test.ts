import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import type { Result } from "./tearing/reader.ts";

const LOADS = 10 ** 7;
// Where nothing is optimised, a load takes ten times as long.
const SLOW_LOADS = 2 * 10 ** 6;

// Which of V8's compilers run: each reads and writes a typed array in its own code.
const CONFIGURATIONS: readonly (readonly [string, readonly string[]])[] = [
  ["V8 as it is", []],
  ["all functions compiled by Sparkplug at once", ["--always-sparkplug"]],
  ["no optimising compiler but Maglev", ["--no-opt"]],
  ["no optimising compiler but Turbofan", ["--no-maglev"]],
  ["loops optimised as they run", ["--always-osr"]],
  ["Sparkplug only", ["--no-opt", "--no-maglev", "--always-sparkplug"]],
  ["the interpreter only", ["--no-opt", "--no-maglev", "--no-sparkplug"]],
];

for (const [name, flags] of CONFIGURATIONS) {
  const loads = flags.includes("--no-opt") && flags.includes("--no-maglev") ? SLOW_LOADS : LOADS;
  Deno.test(`aligned scalars that another thread writes are read whole: ${name}`, async () => {
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--allow-all",
        ...(flags.length > 0 ? [`--v8-flags=${flags}`] : []),
        new URL("./tearing/reader.ts", import.meta.url).href,
        `${loads}`,
      ],
      env: { NO_COLOR: "1" },
    }).output();
    const complaint = new TextDecoder().decode(stderr);
    if (flags.some((flag) => complaint.includes(`V8 did not recognize flag '${flag}'`))) {
      console.log(`skipped: ${complaint.split("\n")[0]}`);
      return;
    }
    assertEquals([success, complaint], [true, ""]);
    const results: Result[] = JSON.parse(new TextDecoder().decode(stdout));
    const control = results.pop()!;
    console.log(`control, ${control.name}: ${control.torn} of ${control.loads} torn`);
    for (const { name, torn, both } of results) {
      assertEquals([name, torn, both], [name, 0, true]);
    }
    assertGreaterOrEqual(results.reduce((sum, { loads }) => sum + loads, 0), loads);
  });
}
