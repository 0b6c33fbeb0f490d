/**
 * How QEMU is called.
 *
 * @module
 */

/** A disk that another process serves. */
export interface Disk {
  /** The Unix socket of the device. */
  readonly socket: string;
  /** Whether QEMU connects again after the device has ended. */
  readonly reconnect?: boolean;
}

/** A virtual machine. */
export interface Machine {
  /** Folders of what QEMU loads into machines, such as their BIOS, before its own. */
  readonly firmware: readonly string[];
  readonly kernel: string;
  readonly initramfs: string;
  /** Its disks, `/dev/vda` first. */
  readonly disks: readonly Disk[];
  /** What runs its code. */
  readonly accelerator: Accelerator;
  /** Whether a person or a program sits at its serial line. */
  readonly session: "shell" | "commands";
  /** The Unix socket where QEMU's monitor listens. */
  readonly monitor: string;
  /** MiB of its memory. */
  readonly memory: number;
  /** MiB that can be plugged in while it runs, if any. */
  readonly pluggable?: number;
  /** The Unix socket where the state of another machine arrives: this one continues it. */
  readonly incoming?: string;
}

/** The kernel's KVM, or QEMU's own translation. */
export type Accelerator = "kvm" | "tcg";

const SLOTS = 4;
const RECONNECT_MS = 200;

/**
 * The arguments of QEMU.
 *
 * Memory is a memfd that is shared with the processes that serve the disks. Nothing is in the
 * machine but what is named.
 *
 * @param machine The machine.
 */
export function qemuArguments(machine: Machine): string[] {
  const { memory, pluggable, incoming } = machine;
  const size = pluggable === undefined
    ? `${memory}M`
    : `${memory}M,slots=${SLOTS},maxmem=${memory + pluggable}M`;
  return [
    ...["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"],
    ...machine.firmware.flatMap((folder) => ["-L", folder]),
    ...["-machine", "q35,memory-backend=mem"],
    ...["-accel", machine.accelerator === "kvm" ? "kvm" : "tcg,thread=multi"],
    ...["-cpu", "max", "-smp", "1", "-m", size],
    ...["-object", memoryBackend("mem", memory)],
    ...["-kernel", machine.kernel, "-initrd", machine.initramfs],
    ...["-append", kernelCommandLine(machine)],
    ...["-serial", "stdio", "-qmp", `unix:${escaped(machine.monitor)},server=on,wait=off`],
    ...machine.disks.flatMap(diskArguments),
    ...(incoming === undefined ? [] : ["-incoming", `unix:${incoming}`]),
  ];
}

/**
 * A memfd for the memory of a guest, as an object of QEMU.
 *
 * @param id Its name.
 * @param mib Its MiB.
 */
export function memoryBackend(id: string, mib: number): string {
  return `memory-backend-memfd,id=${id},size=${mib}M,share=on`;
}

function diskArguments({ socket, reconnect = false }: Disk, index: number): string[] {
  const again = reconnect ? `,reconnect-ms=${RECONNECT_MS}` : "";
  return [
    ...["-chardev", `socket,id=disk${index},path=${escaped(socket)}${again}`],
    ...["-device", `vhost-user-blk-pci,id=blk${index},chardev=disk${index}`],
  ];
}

function kernelCommandLine({ session }: Machine): string {
  const words = ["console=ttyS0", "quiet", "panic=-1", "memhp_default_state=online_movable"];
  // A program reads the kernel's messages by dmesg; among output they would be in the way.
  const level = session === "commands" ? "loglevel=1" : "loglevel=4";
  return [...words, level, `session=${session}`].join(" ");
}

// QEMU's options end at a comma.
function escaped(path: string): string {
  return path.replaceAll(",", ",,");
}
