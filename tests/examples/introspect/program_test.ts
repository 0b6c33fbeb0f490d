import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { attach } from "../../../examples/introspect/attach.ts";
import { findBanner } from "../../../examples/introspect/banner.ts";
import { BANNER, FakeGuest, introspect, outcomeOf } from "./programs.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const PAGE = 4096;

// A process that maps a memfd stands in for QEMU.
function guestTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: Deno.build.os !== "linux" || Deno.build.arch !== "x86_64", fn });
}

guestTest("introspect --json finds the banner and the changed pages, and takes none", async () => {
  await using guest = await FakeGuest.start(6 * GIB);
  // It is not the first text that begins so, and is in two of the pieces of 1 MiB that are searched.
  await guest.write(4 * MIB, "Linux version 1 is not what is meant");
  await guest.write(4 * MIB + 3 * PAGE, "x".repeat(PAGE * 300));
  const address = 5 * MIB + 3 * PAGE - 20;
  await guest.write(address, `${BANNER}§`);
  await guest.write(3 * GIB, "above the hole");
  const program = introspect("--pid", String(guest.pid), "--json", "--seconds", "1.5");
  await using _program = program;
  let json = "";
  const reading = (async () => {
    for (;;) json += await program.line();
  })().catch(() => {});
  for (let i = 0; i < 15; i++) {
    await guest.write(3 * GIB + 8, `${i}`);
    await guest.write(17 * PAGE + i, "new");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await reading;
  const report = JSON.parse(json);
  assertEquals(report.banner, { address, text: BANNER });
  assertEquals(report.machine, "q35");
  assertEquals(
    report.regions.map(({ startAddr, len, fileOffset }: Record<string, number>) => [
      startAddr,
      len,
      fileOffset,
    ]),
    [[0, 2 * GIB, 0], [4 * GIB, 4 * GIB, 2 * GIB]],
  );
  assertStringIncludes(report.regions[0].file, "/memfd:memory-backend-memfd");
  // What was at 3 GiB of the RAM is at 5 GiB of the guest.
  assertEquals(report.pages, [[17 * PAGE, PAGE], [5 * GIB, PAGE]]);
  assertEquals(report.changed, 2);
  assertEquals(report.resident, (1 + 300 + 1 + 1) * PAGE);
  assert(report.sweeps >= 2 && report.sweepMs > 0);
});

guestTest("introspect shows a guest in 120 columns, without control characters", async () => {
  await using guest = await FakeGuest.start(64 * MIB, ["-machine", "microvm"]);
  await guest.write(MIB, BANNER);
  const { code, stdout, stderr } = await outcomeOf("--pid", `${guest.pid}`, "--seconds", "0.3");
  assertEquals([stderr, code], ["", 0]);
  assertStringIncludes(stdout, `${BANNER} at 0x100000\n`);
  assertMatch(stdout, /^deno \d+: 64 MiB in \/memfd:memory-backend-memfd \(deleted\), placed as/);
  assertMatch(stdout, /\n {2}0x0-0x3ffffff +64 MiB/);
  assertMatch(stdout, /\n +0x0 {2}·{16}░·+\n/);
  assertMatch(stdout, /\n4 KiB of 64 MiB are there; 0 pages changed in [\d.]+ s; the best of \d+/);
  assert(!/[^\n\P{Cc}]/u.test(stdout), "control characters where there is no terminal");
});

guestTest("attach() maps what nobody can write here", async () => {
  await using guest = await FakeGuest.start(64 * MIB);
  using attached = await attach({ pid: guest.pid, qmp: undefined });
  assertEquals(findBanner(attached.memory), undefined);
  assertEquals(attached.memory.residentRanges(), []);
  const error = await Promise.resolve().then(() => attached.memory.fill(0 as never, 1, 1))
    .catch((error) => error);
  assertEquals(error.name, "AccessDenied");
});

guestTest("attach() refuses a guest whose RAM is not one of the files that it shares", async () => {
  await using guest = await FakeGuest.start(64 * MIB, ["-machine", "q35", "-m", "128M"]);
  const error = await attach({ pid: guest.pid, qmp: undefined }).catch((error) => error);
  assertEquals(error.name, "IntrospectError");
  assertStringIncludes(error.message, "shares 64 MiB, but its RAM of 128 MiB is not one of these");
});

guestTest("introspect says why it cannot attach, in one line", async () => {
  await using stopped = new Sleeper();
  for (
    const [args, reason] of [
      [["--pid", String(2 ** 22)], "there is no process 4194304"],
      [["--pid", String(stopped.pid)], "shares no memory: start QEMU with"],
      [["--watch", "--pid", String(stopped.pid)], "--watch needs a terminal"],
      [["--qmp"], "see --help"],
    ] as const
  ) {
    const { code, stdout, stderr } = await outcomeOf(...args);
    assertMatch(stderr, /^introspect: [^\n]+\n$/);
    assertStringIncludes(stderr, reason);
    assertEquals([stdout, code], ["", 2]);
  }
});

/** A process without shared memory. */
class Sleeper implements AsyncDisposable {
  readonly #process = new Deno.Command("sleep", { args: ["60"] }).spawn();
  readonly pid: number = this.#process.pid;

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await this.#process.status;
  }
}

guestTest("introspect ends with 1 when the guest ends", async () => {
  await using guest = await FakeGuest.start(16 * MIB);
  const program = introspect("--pid", String(guest.pid), "--json", "--seconds", "60");
  await using _program = program;
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await guest.end("SIGKILL");
  assertEquals(await program.line(), "{");
  assertEquals(await program.status(), 1);
});
