import { assert, assertEquals } from "@std/assert";
import { attach, type Guest } from "../../../examples/introspect/attach.ts";
import { sharedMappings } from "../../../examples/introspect/processes.ts";
import { Sweeper } from "../../../examples/introspect/sweeper.ts";
import { until } from "../../support/until.ts";

const QEMU = "qemu-system-x86_64";

const whyNot = (() => {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") return "for x86-64 Linux";
  try {
    new Deno.Command(QEMU, { args: ["--version"], stdout: "null" }).outputSync();
    return undefined;
  } catch {
    return `no ${QEMU} on the PATH`;
  }
})();

function qemuTest(name: string, fn: () => Promise<void>): void {
  const ignore = whyNot !== undefined;
  Deno.test({ name: ignore ? `${name} (ignored: ${whyNot})` : name, ignore, fn });
}

/** A QEMU without a disk: its firmware runs, unless it is started stopped. */
class Qemu implements AsyncDisposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "introspect-" });
  readonly #process: Deno.ChildProcess;
  readonly monitor = `${this.#folder}/monitor`;

  private constructor(machine: string, size: string, more: readonly string[]) {
    const ram = `memory-backend-memfd,id=ram0,size=${size},share=on`;
    this.#process = new Deno.Command(QEMU, {
      args: [
        ...["-nodefaults", "-no-user-config", "-nographic", "-m", size, "-object", ram],
        ...["-machine", `${machine},memory-backend=ram0,accel=tcg`],
        ...["-qmp", `unix:${this.monitor},server=on,wait=off`, ...more],
      ],
      stdin: "null",
    }).spawn();
  }

  static async start(machine: string, size: string, ...more: string[]): Promise<Qemu> {
    const qemu = new Qemu(machine, size, more);
    // It listens first, and makes its memory afterwards.
    assert(await until(() => sharedMappings(qemu.pid).length > 0), "QEMU does not start");
    return qemu;
  }

  get pid(): number {
    return this.#process.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

// Each part of the one in a part of the other, at the same place of the RAM.
function assertInside(parts: Guest["parts"], of: Guest["parts"]): void {
  for (const { startAddr, len, offset } of parts) {
    assert(
      of.some((other) =>
        startAddr - offset === other.startAddr - other.offset && startAddr >= other.startAddr &&
        startAddr + len <= other.startAddr + other.len
      ),
    );
  }
}

for (const [machine, size] of [["q35", "3G"], ["pc", "4G"], ["microvm", "4G"]] as const) {
  qemuTest(`attach() has the RAM of a ${machine} where QEMU's monitor says it is`, async () => {
    await using qemu = await Qemu.start(machine, size, "-S");
    using derived = await attach({ pid: qemu.pid, qmp: undefined });
    using asked = await attach({ pid: qemu.pid, qmp: qemu.monitor });
    assertEquals([derived.machine, asked.machine], [machine, null]);
    // The monitor leaves out what firmware covers.
    assertInside(asked.parts, derived.parts);
    const end = ({ parts }: Guest) =>
      Math.max(...parts.map(({ startAddr, len }) => startAddr + len));
    assertEquals(end(asked), end(derived));
  });
}

qemuTest("Sweeper.sweep() sees a firmware at work", async () => {
  await using qemu = await Qemu.start("q35", "64M");
  using guest = await attach({ pid: qemu.pid, qmp: undefined });
  using sweeper = new Sweeper(guest.memory, 4096);
  let changed = 0;
  for (let i = 0; i < 100 && changed === 0; i++) {
    changed = (await sweeper.sweep()).changed;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert(changed > 0, "nothing was seen to change in 5 s");
});
