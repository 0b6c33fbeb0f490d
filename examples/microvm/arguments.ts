/**
 * What the program is called with.
 *
 * @module
 */
import { UsageError } from "../lib/expected_error.ts";
import type { BootOptions } from "./linux_boot.ts";

/** What `--help` shows. */
export const USAGE: string = `Usage: deno task microvm [OPTIONS]

Without --kernel, runs two tiny guests that are part of this program, and shows
what they do. With it, boots a kernel whose console is this terminal. Ctrl-C
stops the machine.

Options:
  --kernel FILE   Kernel to boot: an ELF file (vmlinux) or a bzImage (vmlinuz)
  --initrd FILE   Its initial RAM disk
  --cmdline TEXT  Its command line, in place of the one that is used without
  --memory SIZE   Memory of the machine, such as 512M or 4G (default: 256M)
  --pvh           Begin in 32 bits as PVH does, rather than in 64 bits as Linux
  --cx16          Let the guest use cmpxchg16b. Without, it is hidden: KVM on a
                  host without hardware virtualization cannot emulate it, and
                  Linux does as well without. Programs for x86-64-v2 need it.
  --view          Show the memory in a browser: what the guest writes, and what
                  the host writes. Without --kernel, of a guest that counts,
                  and its snapshots, for which a temporary file is written.
                  The address that is printed has a secret in it: who knows it
                  can read the memory.
  --kvm FILE      KVM's device (default: /dev/kvm)
  -h, --help      Show this text

From "deno task", FILE counts from the folder of deno.json. To get a kernel:
deno run -A examples/microvm/fetch_kernel.ts`;

/** The command line that makes Linux print on the serial port from the first moment. */
const CMDLINE = "console=ttyS0 earlyprintk=serial,ttyS0,115200 reboot=k panic=1 pci=off nokaslr";
const NEED_NO_KERNEL = ["kvm", "view"];
const MIB = 2 ** 20;
/** The least that Linux could do with, and that everything in low memory has place in. */
const LEAST_MEMORY = 2 * MIB;
/** More than any host has. */
const MOST_MEMORY = 2 ** 40;

/** What is to be done. */
export interface Arguments {
  /** KVM's device. */
  readonly device: string;
  /** What to boot; `undefined` for the tiny guests. */
  readonly boot: BootOptions | undefined;
  /** Bytes of memory. */
  readonly memory: number;
  /** Whether the guest may use `cmpxchg16b`. */
  readonly cx16: boolean;
  /** Whether to show the memory in a browser. */
  readonly view: boolean;
}

/**
 * What the arguments ask for.
 *
 * @param args The arguments.
 * @returns It, or `undefined` where they ask for help.
 * @throws {UsageError} They make no sense.
 */
export async function argumentsOf(args: string[]): Promise<Arguments | undefined> {
  const values = args.length === 0 ? {} : await parseAll(args);
  if (values.help) return undefined;
  const { kernel, initrd, cmdline, memory, pvh, cx16, view, kvm } = values;
  if (kernel === undefined) {
    const needsKernel = Object.keys(values).find((name) => !NEED_NO_KERNEL.includes(name));
    if (needsKernel !== undefined) {
      throw new UsageError(`--${needsKernel} needs --kernel`);
    }
  }
  return {
    device: kvm ?? "/dev/kvm",
    boot: kernel === undefined
      ? undefined
      : { kernel, initrd, cmdline: cmdline ?? CMDLINE, pvh: pvh ?? false },
    memory: memory === undefined ? 256 * MIB : bytesOf(memory),
    cx16: cx16 ?? false,
    view: view ?? false,
  };
}

interface Values {
  readonly help?: boolean;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly cmdline?: string;
  readonly memory?: string;
  readonly pvh?: boolean;
  readonly cx16?: boolean;
  readonly view?: boolean;
  readonly kvm?: string;
}

async function parseAll(args: string[]): Promise<Values> {
  // Loaded where there is something to parse only: it takes a while.
  const { parse } = await import("../lib/arguments.ts");
  return parse({
    args,
    options: {
      help: { type: "boolean", short: "h" },
      kernel: { type: "string" },
      initrd: { type: "string" },
      cmdline: { type: "string" },
      memory: { type: "string" },
      pvh: { type: "boolean" },
      cx16: { type: "boolean" },
      view: { type: "boolean" },
      kvm: { type: "string" },
    },
  }).values;
}

/**
 * The bytes that a size in an argument means, such as `512M` or `4G`.
 *
 * @param text The argument.
 * @param least The least that makes sense, in bytes: whole MiB.
 * @throws {UsageError} It is no size, or too small or too large for a machine.
 */
export function bytesOf(text: string, least: number = LEAST_MEMORY): number {
  const [, digits, unit] = /^(\d+)([MG])$/i.exec(text) ?? [];
  const size = Number(digits) * (unit?.toUpperCase() === "G" ? 1024 * MIB : MIB);
  if (size >= least && size <= MOST_MEMORY) return size;
  throw new UsageError(
    `cannot give the machine ${JSON.stringify(text)} of memory: such as 512M or 4G, from ${
      least / MIB
    }M to 1024G`,
  );
}
