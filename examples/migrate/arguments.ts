/**
 * What the migration is called with.
 *
 * @module
 */
import { integerOf, oneOf, parse } from "../lib/arguments.ts";
import { type Transport, TRANSPORTS } from "./connection.ts";
import { LARGEST, SMALLEST, type TrackerName, TRACKERS } from "./guest.ts";

/** What `--help` shows. */
export const USAGE: string = `Usage: deno task migrate [options]

Starts a guest that writes to its memory all the time, and another process, and
moves the guest there while it runs: first all pages that are present, then, in
rounds, what was written meanwhile. The guest is paused for the last round only.
Data goes straight from guest memory to the socket, and from there to memory.
In the end both processes compute SHA-256 of the memory. In between, the guest
ran in the destination: the source makes the same steps in its copy.

Options:
  --size MIB        MiB of the guest, from 8 to 4096; 256 by default. Half of
                    it is present at first, a quarter never is
  --rate N          Writes in a second, to pages by chance; 20000 by default
  --transport NAME  unix or tcp; unix by default
  --tracker NAME    Who finds what the guest writes; bitmap by default
                    bitmap: the library, as the guest writes by it
                    kernel: WriteTracker, as the guest writes by views
                    kvm: KVM, as the guest is a virtual machine
  --json            Print JSON in place of the table
  --incoming NAME   Be the destination of another process: print where unix or
                    tcp listens, and take one guest in
  -h, --help        Show this text

The JSON is { size, transport, tracker, rate, rounds, downtime, steps,
stepsThere, resident, sha256, ok }. Sizes are in bytes.
  rounds      runs      pieces of memory that were sent
              bytes     their bytes
              ms        ms until the destination had them
              dirty     bytes that the guest wrote meanwhile
  downtime    ms        ms from the order to pause until the source knew that
                        the guest runs there; the sum of the others:
              pauseMs   until it was paused
              takeMs    until it was known what it had written
              sendMs    until the destination had that
              resumeMs  until it ran there
  steps       writes before it was paused
  stepsThere  and until it was stopped in the destination
  resident    bytes of its memory that the destination holds
  sha256      that of the source and that of the destination

Exit status: 0; 1 if the memory differs or the migration failed; 2 if the
arguments make no sense or the guest cannot be started.`;

const MIB = 2 ** 20;
const DEFAULT_SIZE = 256 * MIB;
const DEFAULT_RATE = 20_000;
const MAX_RATE = 100_000_000;

/** What is asked for. */
export interface Options {
  /** Bytes of the guest. */
  readonly size: number;
  /** Writes in a second. */
  readonly rate: number;
  readonly transport: Transport;
  readonly tracker: TrackerName;
  /** Whether to print JSON. */
  readonly json: boolean;
  /** Over what to take a guest in, if that is asked for. */
  readonly incoming: Transport | undefined;
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
  const { transport = "unix", tracker = "bitmap", json = false, incoming } = values;
  return {
    size: values.size === undefined
      ? DEFAULT_SIZE
      : integerOf("--size", values.size, SMALLEST / MIB, LARGEST / MIB) * MIB,
    rate: values.rate === undefined ? DEFAULT_RATE : integerOf("--rate", values.rate, 1, MAX_RATE),
    transport: oneOf("--transport", transport, TRANSPORTS),
    tracker: oneOf("--tracker", tracker, TRACKERS),
    json,
    incoming: incoming === undefined ? undefined : oneOf("--incoming", incoming, TRANSPORTS),
  };
}

function parseAll(args: string[]) {
  return parse({
    args,
    options: {
      size: { type: "string" },
      rate: { type: "string" },
      transport: { type: "string" },
      tracker: { type: "string" },
      json: { type: "boolean" },
      incoming: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  }).values;
}
