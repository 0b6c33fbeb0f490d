/**
 * What the program is called with.
 *
 * @module
 */
import { integerOf, parse } from "../lib/arguments.ts";
import { UsageError } from "../lib/expected_error.ts";
import { quoted } from "../lib/quoted.ts";

/** What `--help` shows. */
export const USAGE: string = `Usage: deno task introspect [OPTIONS]

Attaches to the RAM of a running QEMU, read-only and without its knowledge, and
shows the kernel that runs in it, its memory map, and which pages it changes.
QEMU's memory has to be shared, as by
  -machine q35,memory-backend=mem
  -object memory-backend-memfd,id=mem,size=512M,share=on

Options:
  --pid N       Process to attach to (default: the only running qemu-system)
  --qmp SOCKET  Ask QEMU's monitor at this Unix socket where its RAM is in the
                guest. Without, it is derived from the machine and the size.
  --seconds N   Seconds to watch, from 0.1 to 3600 (default: 2)
  --watch       Show memory until Ctrl-C
  --serve [PORT]
                Show memory in a browser, on this port of 127.0.0.1 (default: a
                free one). The address that is printed has a secret in it: who
                knows it can read the guest's memory.
  --json        Print JSON in place of text
  -h, --help    Show this text

The JSON is { pid, name, machine, banner, regions, pageSize, resident, changed,
pages, sweeps, sweepMs }. Addresses are the guest's; sizes are in bytes.
  banner    { address, text } of Linux; null where there is none
  regions   { startAddr, len, file, fileOffset }
  changed   how many pages changed during the seconds
  pages     the changed pages: runs of [address, bytes]
  sweepMs   the shortest time that a sweep over what is resident took

Exit status: 0; 1 if the guest has ended; 2 if there is nothing to attach to, or
the arguments make no sense.`;

const DEFAULT_SECONDS = 2;
const LEAST_SECONDS = 0.1;
const MOST_SECONDS = 3600;
const PORTS = 2 ** 16;
const MOST_PID = 2 ** 22;

/** What is asked for. */
export interface Options {
  /** The process; `undefined` for the only QEMU. */
  readonly pid: number | undefined;
  /** The Unix socket of the monitor, if it is to be asked. */
  readonly qmp: string | undefined;
  /** Seconds to watch. */
  readonly seconds: number;
  /** Whether to watch until the user ends it. */
  readonly watch: boolean;
  /** The port of the page, if there is to be one. */
  readonly port: number | undefined;
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
  const { help, pid, qmp, seconds, watch = false, serve, json = false } = parseAll(args);
  if (help) return undefined;
  const uses = [
    watch && "--watch",
    serve !== undefined && "--serve",
    json && "--json",
  ].filter(Boolean);
  if (uses.length > 1) throw new UsageError(`${uses.join(" and ")} exclude each other`);
  return {
    pid: pid === undefined ? undefined : integerOf("--pid", pid, 1, MOST_PID),
    qmp,
    seconds: secondsOf(seconds),
    watch,
    port: serve === undefined ? undefined : integerOf("--serve", serve, 0, PORTS - 1),
    json,
  };
}

function parseAll(args: string[]) {
  return parse({
    args: withPort(args),
    options: {
      pid: { type: "string" },
      qmp: { type: "string" },
      seconds: { type: "string" },
      watch: { type: "boolean" },
      serve: { type: "string" },
      json: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  }).values;
}

// An option either has a value or has none, as node:util knows them: 0 takes a free port.
function withPort(args: readonly string[]): string[] {
  return args.map((word, i) =>
    word === "--serve" && !/^\d/.test(args[i + 1] ?? "") ? "--serve=0" : word
  );
}

function secondsOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_SECONDS;
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (seconds >= LEAST_SECONDS && seconds <= MOST_SECONDS) return seconds;
  throw new UsageError(
    `--seconds is ${quoted(text)}, not a number from ${LEAST_SECONDS} to ${MOST_SECONDS}`,
  );
}
