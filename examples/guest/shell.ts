/**
 * The guest with a person at its serial line.
 *
 * @module
 */
import { GuestError } from "./guest_error.ts";
import type { Host } from "./host.ts";
import { qemuArguments } from "./qemu_arguments.ts";

const EMPTY_BYTES = 64 * 2 ** 20;
/** The signals by which a user stops a program. */
export const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** What a shell says of a program that SIGINT ended. */
export const INTERRUPTED = 130;

/**
 * Boots a guest on this terminal, and waits for its end.
 *
 * @param host What makes it.
 * @param image The file that is its disk, or `undefined` for an empty one.
 * @returns The exit status.
 * @throws {GuestError} There is no terminal, or the device does not start.
 */
export async function shell(host: Host, image: string | undefined): Promise<number> {
  // What arrives before the shell is there would be lost.
  if (!Deno.stdin.isTerminal()) {
    throw new GuestError("the shell takes a terminal, and stdin is none (--test takes none)");
  }
  const { qemu, env } = host.provisions;
  const disk = image ?? await host.newImage("disk", EMPTY_BYTES);
  await using device = await host.serve({ image: disk });
  const machine = host.machine({ session: "shell", disks: [{ socket: device.socket }] });
  const child = new Deno.Command(qemu, {
    args: qemuArguments(machine),
    env,
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  }).spawn();
  console.error(
    `QEMU is process ${child.pid} (${host.accelerator}), the device (${host.device}) ${device.pid}.`,
  );
  let interrupted = false;
  const stop = () => {
    interrupted = true;
    // It may have ended by the same signal.
    try {
      child.kill("SIGTERM");
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
  };
  for (const signal of SIGNALS) Deno.addSignalListener(signal, stop);
  try {
    const { code } = await child.status;
    return interrupted ? INTERRUPTED : code;
  } finally {
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, stop);
  }
}
