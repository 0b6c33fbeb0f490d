import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect, listen } from "../../../examples/migrate/connection.ts";
import type { Report } from "../../../examples/migrate/report.ts";
import {
  encodeFrame,
  encodeHello,
  encodeRuns,
  FRAME_LENGTH,
} from "../../../examples/migrate/wire.ts";
import { capabilities, pageSize } from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { gpa } from "../../support/values.ts";
import { kvmTest } from "../microvm/kvm_guest.ts";
import { linesOf, migrate, start } from "./program.ts";

const SIZE = 2 ** 26;

for (const transport of ["unix", "tcp"]) {
  for (const tracker of ["bitmap", "kernel"]) {
    linuxTest(`a guest moves over ${transport}, tracked by ${tracker}`, async () => {
      const { available, reason } = capabilities().trackers.writeTracker;
      if (tracker === "bitmap" || available) await assertMoves(transport, tracker);
      else console.log(`not tried: ${reason}`);
    });
  }
}

kvmTest("a virtual machine moves", async () => {
  await assertMoves("unix", "kvm");
});

async function assertMoves(transport: string, tracker: string): Promise<void> {
  const options = ["--transport", transport, "--tracker", tracker];
  const { code, stdout, stderr } = await migrate("--size", "64", "--json", ...options);
  assertEquals([stderr, code], ["", 0]);
  assertMoved(JSON.parse(stdout));
}

function assertMoved(report: Report): void {
  const { ok, size, sha256, rounds, steps, stepsThere, resident, downtime } = report;
  assertEquals([ok, size], [true, SIZE]);
  assertMatch(sha256[0], /^[0-9a-f]{64}$/);
  assertEquals(sha256[0], sha256[1]);
  assert(steps > 0 && stepsThere > steps, `${steps} steps here, ${stepsThere} until the end`);
  // What is present first is half of the memory, and the last quarter never is, but for a huge page
  // at its border in each region.
  const most = SIZE * 3 / 4 + 3 * 2 ** 21;
  const [first] = rounds;
  assert(
    first!.bytes >= SIZE / 2 && first!.bytes <= most,
    `${first!.bytes} bytes at first`,
  );
  assert(resident >= first!.bytes && resident <= most, `${resident} bytes are resident`);
  // The guest writes all the time, so there is a round while it runs, and one while it does not.
  assert(rounds.length >= 2, `${rounds.length} rounds`);
  assert(rounds.slice(0, -1).every(({ bytes, ms }) => bytes > 0 && ms > 0), "an empty round");
  assert(first!.dirty > 0, "nothing was written during the first pass");
  const { ms, ...parts } = downtime;
  const sum = Object.values(parts).reduce((sum, part) => sum + part, 0);
  assert(Math.abs(sum - ms) < 0.001, `the downtime is ${ms} ms, its parts are ${sum} ms`);
}

// A guest that writes faster than any connection: there are rounds for half a second.
const RESTLESS = ["--size", "64", "--rate", "50000000"];

linuxTest("a guest stays, and runs, if the destination is killed", async () => {
  const source = start(RESTLESS);
  const lines: string[] = [];
  for await (const line of linesOf(source.stdout)) {
    lines.push(line);
    if (/^ +2 /.test(line)) Deno.kill(childOf(source.pid), "SIGKILL");
  }
  const stderr = await new Response(source.stderr).text();
  const { code } = await source.status;
  assertEquals(code, 1, lines.join("\n"));
  assertMatch(
    stderr,
    /^migrate: the guest stays here, and has made [1-9][\d,]* writes since: the other side closed the connection\n$/,
  );
});

linuxTest("the destination ends with an error if the source is killed", async () => {
  const source = start(RESTLESS);
  for await (const line of linesOf(source.stdout)) if (/^ +2 /.test(line)) source.kill("SIGKILL");
  // The destination has the same stderr, which is at its end when both have ended.
  const stderr = await new Response(source.stderr).text();
  assertEquals((await source.status).signal, "SIGKILL");
  assertEquals(
    stderr,
    "migrate: the destination has no guest: the other side closed the connection\n",
  );
});

// The process that a process has started.
function childOf(pid: number): number {
  const children = [...Deno.readDirSync(`/proc/${pid}/task`)].flatMap(({ name }) =>
    Deno.readTextFileSync(`/proc/${pid}/task/${name}/children`).trim().split(" ")
  ).filter((text) => text !== "");
  assertEquals(children.length, 1, `children ${children}`);
  return Number(children[0]);
}

// Opens the libraries that stay open, outside of a test.
if (Deno.build.os === "linux") {
  for (const transport of ["unix", "tcp"] as const) listen(transport)[Symbol.dispose]();
}

const PAGE = pageSize();
const HELLO = [
  encodeHello({ pageSize: PAGE, regions: 1, rate: 1, tracker: "bitmap" }),
  encodeRuns([[gpa(0), 2 ** 20]], new Uint8Array(16)),
];
const HALF = encodeFrame({ type: "pages", count: 1, bytes: PAGE }).subarray(1);
const HOSTILE: [name: string, transport: string, parts: Uint8Array[], reason: string][] = [
  ["garbage", "unix", [crypto.getRandomValues(new Uint8Array(4096))], "this is no migration"],
  ["half a frame", "tcp", [...HELLO, HALF], "the other side closed the connection"],
];
for (const [name, transport, parts, reason] of HOSTILE) {
  linuxTest(`a destination refuses ${name} over ${transport}`, async () => {
    const destination = start(["--incoming", transport]);
    const lines = linesOf(destination.stdout);
    const { value } = await lines.next();
    {
      using connection = connect(value.slice("listening on ".length));
      for (const part of parts) connection.send(part);
      // That it is ready; or a connection that is reset would lose what was sent.
      if (parts.length > 1) connection.receive(FRAME_LENGTH);
    }
    const stderr = await new Response(destination.stderr).text();
    await lines.return(undefined);
    assertMatch(stderr, /^[^\n]+\n$/);
    assertStringIncludes(stderr, `migrate: the destination has no guest: ${reason}`);
    assertEquals((await destination.status).code, 1);
  });
}

Deno.test("migrate shows its usage", async () => {
  const { code, stdout, stderr } = await migrate("--help");
  assertEquals([stderr, code], ["", 0]);
  assertMatch(stdout, /^Usage: deno task migrate \[options\]\n/);
  for (const line of stdout.split("\n")) assert(line.length <= 80, line);
});

Deno.test("migrate refuses arguments that make no sense", async () => {
  const { code, stdout, stderr } = await migrate("--size", "7");
  assertEquals([stdout, code], ["", 2]);
  assertMatch(stderr, /^migrate: --size is "7", not an integer [^\n]+\n$/);
});
