/**
 * What the program is called with.
 *
 * @module
 */
import { integerOf, parse } from "../lib/arguments.ts";
import { bytesOf } from "../microvm/arguments.ts";
import { LEAST_MEMORY } from "./guest.ts";

/** What `--help` shows. */
export const USAGE: string = `Usage: deno task clones [OPTIONS]

Runs a guest on KVM until it has filled a part of its memory, writes a snapshot
of it, and starts clones that map the snapshot copy-on-write. Each continues
where the guest was, reads what it had written, and writes a result that
depends on its number. All of them stay alive together. Their results are
checked.

Options:
  --clones N      How many, from 1 to 1000 (default: 100)
  --memory SIZE   Memory of the guest, such as 64M or 4G (default: 512M)
  --kvm FILE      KVM's device (default: /dev/kvm)
  --json          Print JSON in place of the tables
  -h, --help      Show this text

The task sets V8's flag --no-incremental-marking. Without it, V8 collects
garbage for each memory of this size: some milliseconds.

The JSON is { memory, clones, snapshot, times, exits, own, shared, sizes, eager,
problems }. Sizes are in bytes, times in milliseconds.
  snapshot  { fill, save, write, bytes, written, stored }: the time until the
            guest had filled its memory, to save the registers, and to write
            the file; its length, bytes that were written, bytes of its blocks
  times     { access, machine, load, run, exit }, each with { first, min,
            median, p95, max }: the first clone's, and those of all others.
            access is from the call of restore to the end of a first read of
            memory. Then come the virtual machine, its registers and the guest;
            exit is all of it, from the call of restore to the first exit
  exits     the time to the first exit of each clone
  own       { min, median, max, total }: private memory of a clone
  shared    { min, median, max }: memory of a clone that is the file's
  sizes     [{ memory, access }]: the same as times.access for sparse memories
            that no machine has, 100 of each size
  eager     { access, exit, own } of one clone that reads all of the snapshot
  problems  what was not as it has to be: a list of texts

Exit status: 0; 1 if there are problems; 2 if the arguments make no sense or
nothing can be shown here, as there is no KVM.`;

const MIB = 2 ** 20;
const MOST_CLONES = 1000;

/** What is asked for. */
export interface Options {
  /** How many clones. */
  readonly clones: number;
  /** Bytes of memory of each. */
  readonly memory: number;
  /** KVM's device. */
  readonly device: string;
  /** Whether to print JSON. */
  readonly json: boolean;
}

/**
 * What the arguments ask for.
 *
 * @param args The arguments.
 * @returns The options, or `undefined` where they ask for help.
 * @throws {UsageError} They make no sense.
 */
export function optionsOf(args: string[]): Options | undefined {
  const { help, clones = "100", memory, kvm = "/dev/kvm", json = false } = parseAll(args);
  if (help) return undefined;
  return {
    clones: integerOf("--clones", clones, 1, MOST_CLONES),
    memory: memory === undefined ? 512 * MIB : bytesOf(memory, LEAST_MEMORY),
    device: kvm,
    json,
  };
}

function parseAll(args: string[]) {
  return parse({
    args,
    options: {
      clones: { type: "string" },
      memory: { type: "string" },
      kvm: { type: "string" },
      json: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  }).values;
}
