/**
 * What the program is called with.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { MicrovmError } from "../microvm/microvm_error.ts";

/** What `--help` shows. */
export const USAGE: string = `Usage: deno task snapshot-story [OPTIONS]

A guest counts, and a snapshot of its memory is written. It counts on, and what
it has written since is written as a diff, which brings the snapshot up to date.
Then clones map the snapshot copy-on-write, and each counts on by itself. The
pages of memory are shown as they are: a character for each.

Options:
  --guest KIND   kvm: a guest on KVM; worker: a Worker, which writes the same.
                 By default, a guest where there is KVM, and a Worker elsewhere.
  --clones N     How many clones, from 1 to 12 (default: 10)
  --kvm FILE     KVM's device (default: /dev/kvm)
  -h, --help     Show this text

Exit status: 0; 1 if a count is not as it has to be; 2 if the arguments make no
sense, or it cannot be shown here.`;

const MOST_CLONES = 12;
const KINDS = ["kvm", "worker"] as const;

/** What is asked for. */
export interface Options {
  /** What counts; `undefined` for what there is. */
  readonly guest: typeof KINDS[number] | undefined;
  /** How many clones. */
  readonly clones: number;
  /** KVM's device. */
  readonly device: string;
}

/**
 * What the arguments ask for.
 *
 * @param args The arguments.
 * @returns The options, or `undefined` where they ask for help.
 * @throws {MicrovmError} They make no sense.
 */
export function optionsOf(args: string[]): Options | undefined {
  const { help, guest, clones = "10", kvm = "/dev/kvm" } = parse(args);
  if (help) return undefined;
  const kind = KINDS.find((kind) => kind === guest);
  if (guest !== undefined && kind === undefined) {
    throw new MicrovmError(`--guest is ${JSON.stringify(guest)}, not kvm or worker (see --help)`);
  }
  const count = /^\d+$/.test(clones) ? Number(clones) : NaN;
  if (count >= 1 && count <= MOST_CLONES) return { guest: kind, clones: count, device: kvm };
  throw new MicrovmError(
    `--clones is ${JSON.stringify(clones)}, not a number from 1 to ${MOST_CLONES} (see --help)`,
  );
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        guest: { type: "string" },
        clones: { type: "string" },
        kvm: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    // The first sentence says what is wrong.
    throw new MicrovmError(`${(error as Error).message.split(". ")[0]} (see --help)`);
  }
}
