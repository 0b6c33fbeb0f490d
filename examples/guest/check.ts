/**
 * What checks in a guest have in common.
 *
 * @module
 */
import type { BlockDevice, DeviceOptions } from "./block_device.ts";
import { GuestError } from "./guest_error.ts";
import type { Host } from "./host.ts";
import type { Machine } from "./qemu_arguments.ts";
import type { Vm } from "./vm.ts";

/** Bytes of the disks of the checks. */
export const DISK_BYTES: number = 64 * 2 ** 20;

/**
 * A check.
 *
 * @param host What makes its machines and devices.
 * @returns What was seen, in a few words.
 * @throws {GuestError} Something is wrong.
 */
export type Check = (host: Host) => Promise<string>;

/** What is particular about the guest of a check. */
export interface GuestOptions {
  /** Its disk. */
  readonly image: string;
  /** Whether QEMU connects again to a device that has ended. */
  readonly reconnect?: boolean;
  readonly machine?: Partial<Machine>;
  readonly device?: Partial<DeviceOptions>;
}

/**
 * Boots a guest with a disk, and powers it off afterwards. The device has to end by itself then.
 *
 * @param host What makes it.
 * @param options The guest.
 * @param body What is done there.
 */
export async function inGuest(
  host: Host,
  { image, reconnect = false, machine = {}, device: deviceOptions = {} }: GuestOptions,
  body: (vm: Vm, device: BlockDevice) => Promise<void>,
): Promise<void> {
  await using device = await host.serve({ image, ...deviceOptions });
  {
    const disks = [{ socket: device.socket, reconnect }];
    await using vm = await host.start({ ...machine, disks });
    await vm.ready();
    await body(vm, device);
    await ensureNoErrors(vm);
    await vm.powerOff();
  }
  await ensureEnded(device, host);
}

/**
 * Throws if the guest's kernel has reported errors of the disk.
 *
 * @param vm The guest.
 */
export async function ensureNoErrors(vm: Vm): Promise<void> {
  // Levels up to KERN_ERR.
  const { output } = await vm.run("dmesg -r | grep -E '^<[0-3]>' | tail -5");
  if (output !== "") throw new GuestError(`the guest's kernel says: ${output.trim()}`);
}

/**
 * Throws unless a device ends by itself, without an error. QEMU's own does not end.
 *
 * @param device The device, whose front-end has closed the connection.
 * @param host What made it.
 */
export async function ensureEnded(device: BlockDevice, host: Host): Promise<void> {
  if (host.device !== "deno") return;
  const code = await device.ended();
  if (code === 0) return;
  const errors = (await device.errors).trim().split("\n").slice(-3).join("; ");
  const what = code === undefined ? "did not end" : `ended with status ${code}`;
  throw new GuestError(`the device ${what} after the front-end had closed: ${errors}`);
}

/**
 * Throws unless two values are the same.
 *
 * @param actual What was found.
 * @param expected What it should be.
 * @param what What it is.
 */
export function ensureSame<T extends string | number>(actual: T, expected: T, what: string): void {
  if (actual === expected) return;
  throw new GuestError(`${what}: ${actual} in place of ${expected}`);
}

/** Waits. */
export async function sleep(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Waits until something is so.
 *
 * @param seconds How long.
 * @param failure What is wrong if it is not so then.
 * @param isSo Whether it is.
 */
export async function within(
  seconds: number,
  failure: string,
  isSo: () => Promise<boolean>,
): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!await isSo()) {
    if (performance.now() > end) throw new GuestError(failure);
    await sleep(100);
  }
}
