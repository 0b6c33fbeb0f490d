/**
 * What the guest is called with.
 *
 * @module
 */
import { integerOf, oneOf, parse } from "../lib/arguments.ts";
import { UsageError } from "../lib/expected_error.ts";
import { DEVICE_KINDS, type DeviceKind } from "./block_device.ts";
import type { Accelerator } from "./qemu_arguments.ts";

/** What `--help` shows. */
export const USAGE: string = `Usage: deno task guest [options]

Boots Linux in QEMU to a shell on this terminal. Its disk, /dev/vda, is served
by another process over vhost-user: the device of this repository, which reads
and writes the guest's memory through this library. "poweroff" in the guest or
Ctrl-C ends all of it.

QEMU, a kernel and the guest's commands are Debian's packages (Debian 12 or
later on x86_64). What the machine does not have is downloaded by apt and
unpacked in target/guest: nothing is installed, and no rights are needed. The
first start lists what it will download, with sizes, and asks. To remove all of
it, remove that folder.

Options:
  --image FILE      The file that is the disk; by default an empty one of 64 MiB
                    that is removed in the end
  --memory MIB      MiB of the guest, from 256 to 4096; 512 by default
  --device NAME     Who serves the disk; deno by default
                    deno:     examples/vhost_user.ts
                    threads:  qemu-storage-daemon, aio=threads
                    io_uring: qemu-storage-daemon, aio=io_uring
  --direct          Let the device go past the host's page cache
  --accel NAME      kvm, or tcg, QEMU's own translation; by default kvm where a
                    guest boots on it within 20 s
  --test            Run the checks in the guest in place of the shell, and print
                    a table (with fio, compiled from Debian's source)
  --only NAMES      With --test: some of the checks, with commas between: read,
                    files, verify, kill, plug, migrate, control
  --bench           Compare the three devices in one guest by fio, and print a
                    table (images in /dev/shm and on the disk: about 5 minutes)
  --rounds N        With --bench: rounds, from 1 to 20; 3 by default
  --json            With --bench: print all that was measured as JSON, in place
                    of the table
  --yes             Do not ask
  -h, --help        Show this text

Exit status: 0; 1 if a check failed; 2 if the arguments make no sense or the
guest cannot be started; 130 after Ctrl-C.`;

const CHECKS = ["read", "files", "verify", "kill", "plug", "migrate", "control"] as const;
const ACCELERATORS = ["kvm", "tcg"] as const;
const DEFAULT_MEMORY = 512;
const DEFAULT_ROUNDS = 3;

/** The name of a check. */
export type CheckName = (typeof CHECKS)[number];

/** What is asked for. */
export interface Options {
  readonly mode: "shell" | "test" | "bench";
  /** The file that is the disk, if it is not an empty one. */
  readonly image: string | undefined;
  /** MiB of the guest. */
  readonly memory: number;
  readonly device: DeviceKind;
  /** Whether the device goes past the host's page cache. */
  readonly direct: boolean;
  /** What runs the guest's code, if that is not found out. */
  readonly accelerator: Accelerator | undefined;
  readonly only: readonly CheckName[];
  readonly rounds: number;
  /** Whether what --bench has measured is printed as JSON. */
  readonly json: boolean;
  /** Whether all questions are answered with yes. */
  readonly yes: boolean;
}

/**
 * What the arguments ask for.
 *
 * @param args The arguments.
 * @returns The options, or `undefined` where they ask for help.
 * @throws {UsageError} They make no sense.
 */
export function optionsOf(args: string[]): Options | undefined {
  const values = parseAll(args);
  if (values.help) return undefined;
  const { memory, rounds, accel, only, test = false, bench = false, direct = false } = values;
  if (test && bench) throw new UsageError("--test and --bench exclude each other");
  if (bench && direct) throw new UsageError("--bench measures both ways: no --direct");
  if (only !== undefined && !test) throw new UsageError("--only takes --test");
  const { json = false } = values;
  if (json && !bench) throw new UsageError("--json takes --bench");
  if (rounds !== undefined && !bench) throw new UsageError("--rounds takes --bench");
  return {
    mode: test ? "test" : bench ? "bench" : "shell",
    image: values.image,
    memory: memory === undefined ? DEFAULT_MEMORY : integerOf("--memory", memory, 256, 4096),
    device: oneOf("--device", values.device ?? "deno", DEVICE_KINDS),
    direct,
    accelerator: accel === undefined ? undefined : oneOf("--accel", accel, ACCELERATORS),
    only: only === undefined
      ? CHECKS
      : only.split(",").map((name) => oneOf("--only", name, CHECKS)),
    rounds: rounds === undefined ? DEFAULT_ROUNDS : integerOf("--rounds", rounds, 1, 20),
    json,
    yes: values.yes ?? false,
  };
}

function parseAll(args: string[]) {
  return parse({
    args,
    options: {
      image: { type: "string" },
      memory: { type: "string" },
      device: { type: "string" },
      direct: { type: "boolean" },
      accel: { type: "string" },
      test: { type: "boolean" },
      only: { type: "string" },
      bench: { type: "boolean" },
      rounds: { type: "string" },
      json: { type: "boolean" },
      yes: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  }).values;
}
