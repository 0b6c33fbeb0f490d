/**
 * What the program is called with.
 *
 * @module
 */
import { integerOf, oneOf, parse } from "../lib/arguments.ts";

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
 * @throws {UsageError} They make no sense.
 */
export function optionsOf(args: string[]): Options | undefined {
  const { help, guest, clones = "10", kvm = "/dev/kvm" } = parseAll(args);
  if (help) return undefined;
  return {
    guest: guest === undefined ? undefined : oneOf("--guest", guest, KINDS),
    clones: integerOf("--clones", clones, 1, MOST_CLONES),
    device: kvm,
  };
}

function parseAll(args: string[]) {
  return parse({
    args,
    options: {
      guest: { type: "string" },
      clones: { type: "string" },
      kvm: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  }).values;
}
