/**
 * What runs the guest's code on this machine.
 *
 * @module
 */
import { GuestError } from "./guest_error.ts";
import type { Host } from "./host.ts";
import type { Accelerator } from "./qemu_arguments.ts";

export type { Accelerator } from "./qemu_arguments.ts";

/** KVM that is itself emulated may exist and need minutes. */
const PATIENCE_SECONDS = 20;

/**
 * KVM if a guest boots on it in reasonable time.
 *
 * @param host What makes machines.
 */
export async function chooseAccelerator(host: Host): Promise<Accelerator> {
  const writable = await Deno.open("/dev/kvm", { read: true, write: true })
    .then((file) => (file.close(), true), () => false);
  if (!writable) return "tcg";
  // What was found out is kept until the host boots again.
  const memory = new URL("../../target/guest/accelerator", import.meta.url);
  const boot = await Deno.readTextFile("/proc/sys/kernel/random/boot_id");
  const [known, when] = (await Deno.readTextFile(memory).catch(() => "")).split(" ");
  if (when === boot && (known === "kvm" || known === "tcg")) return known;
  const found = await boots(host) ? "kvm" : "tcg";
  await Deno.writeTextFile(memory, `${found} ${boot}`);
  return found;
}

async function boots(host: Host): Promise<boolean> {
  try {
    await using vm = await host.start({ accelerator: "kvm", disks: [] });
    await vm.ready(PATIENCE_SECONDS);
    return true;
  } catch (error) {
    if (!(error instanceof GuestError)) throw error;
    return false;
  }
}
