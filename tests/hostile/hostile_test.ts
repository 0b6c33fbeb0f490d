/**
 * Everything that the library exports, called with everything that it should not be given, in a
 * new process.
 */
import { assert, assertEquals } from "@std/assert";
import { linuxTest } from "../support/linux_test.ts";
import type { EntryPoint } from "./entry_points.ts";
import { entries } from "./walk.ts";

// Milliseconds that one call may take.
const LIMIT = 45_000;

interface Report {
  readonly calls: number;
  readonly findings: readonly { key: string; round: number; call: string; fault: string }[];
  readonly outcomes: Readonly<Record<string, number>>;
  readonly uncalled: readonly string[];
}

// Runs a program, and says what its last call was where it does not end well.
async function run(...args: string[]): Promise<Report> {
  const log = await Deno.makeTempFile();
  const program = new URL("./run.ts", import.meta.url).href;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", "--v8-flags=--expose-gc", program, "--log", log]
      .concat(args),
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let [before, since] = ["", performance.now()];
  // However slow the machine is, it has to come from call to call.
  const timer = setInterval(async () => {
    const now = await Deno.readTextFile(log).catch(() => before);
    if (now !== before) [before, since] = [now, performance.now()];
    else if (performance.now() > since + LIMIT) child.kill("SIGKILL");
  }, 1000);
  try {
    const { code, signal, stdout, stderr } = await child.output();
    const last = (await Deno.readTextFile(log)).trim();
    const text = new TextDecoder();
    assert(code === 0, `ended by ${signal ?? code} in ${last}\n${text.decode(stderr)}`);
    return JSON.parse(text.decode(stdout));
  } finally {
    clearInterval(timer);
    await Deno.remove(log);
  }
}

Deno.test("there is a way to call every export", () => {
  assertEquals(entries().missing, []);
});

const OUTCOMES: Readonly<Record<EntryPoint, readonly string[]>> = {
  core: ["OutOfBounds", "MemoryClosed", "HostileError"],
  virtio: ["PartialBuffer", "InvalidChain", "InvalidQueue"],
  snapshot: ["SnapshotMismatch", "SnapshotRefused", "InvalidManifest", "HostileError"],
};

for (const [point, count] of Object.entries({ core: 40_000, virtio: 6000, snapshot: 600 })) {
  linuxTest(`no argument of ${point} crashes, hangs, or does what it should not`, async () => {
    const { calls, findings, outcomes, uncalled } = await run(
      ...["--calls", `${count}`, "--points", point],
    );
    const lines = findings.map(({ round, call, fault }) => `round ${round}: ${call}\n  ${fault}`);
    assertEquals(lines.join("\n"), "");
    assertEquals(uncalled, []);
    // The arguments reach what they are meant to reach.
    assert(calls >= count);
    assert(outcomes.returned! > count / 4 && outcomes.TypeError! > count / 10);
    for (const name of OUTCOMES[point as EntryPoint]) assert(outcomes[name]! > count / 1000, name);
  });
}
