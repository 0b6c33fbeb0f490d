/**
 * What the program is called with.
 *
 * @module
 */
import { integerOf, parse } from "../lib/arguments.ts";
import { UsageError } from "../lib/expected_error.ts";

/** What `--help` shows. */
export const USAGE: string = `Usage: deno task firecracker-uffd [serve | vmm] [options]

Loads the memory of a VMM from a snapshot when it is touched, as Firecracker
lets a process of its own do it ("backend_type": "Uffd" of its snapshot/load).

  serve   The handler: listens, and serves each VMM that connects until it ends.
  vmm     A VMM in place of Firecracker: touches all pages in random order from
          two threads, checks them by SHA-256, and shows what a fault takes. If
          its handler ends, it waits for the next (Firecracker does not).
  (none)  A demonstration: makes a snapshot, runs both, kills the handler in the
          middle, and starts another.

Options:
  --socket PATH  serve, vmm: the Unix socket
  --mem FILE     serve, vmm: the memory file of the snapshot
  --once         serve: end when one VMM was served
  --no-prefetch  serve: load only what is touched
  --size MIB     demonstration: MiB of the snapshot; 128 by default
  -h, --help     Show this text

Exit status: 0; 1 if a page was wrong; 2 if something cannot be had; 130 after
Ctrl-C.`;

/** Both sides need these. */
export interface Place {
  /** The path of the socket. */
  readonly socket: string;
  /** The path of the memory file. */
  readonly mem: string;
}

/** How the handler serves. */
export interface ServeOptions extends Place {
  /** Whether one VMM is all. */
  readonly once: boolean;
  /** Whether pages that nobody touches are loaded too. */
  readonly prefetch: boolean;
}

/** What is asked for. */
export type Request =
  | { readonly run: "serve"; readonly options: ServeOptions }
  | { readonly run: "vmm"; readonly options: Place }
  | { readonly run: "demo"; readonly size: number };

const MIB = 2 ** 20;
const DEFAULT_SIZE = 128 * MIB;

/**
 * What the arguments ask for.
 *
 * @param args The arguments.
 * @returns The request, or `undefined` where they ask for help.
 * @throws {UsageError} They make no sense.
 */
export function requestOf(args: string[]): Request | undefined {
  const { values, positionals: [run, ...more] } = parseAll(args);
  const { help, socket, mem, size, once, "no-prefetch": noPrefetch } = values;
  if (help) return undefined;
  if (more.length > 0) throw new UsageError("there is more than one command");
  if (run === undefined) {
    const given = Object.keys(values).find((name) => name !== "size");
    if (given !== undefined) throw new UsageError(`--${given} needs a command`);
    return {
      run: "demo",
      size: size === undefined ? DEFAULT_SIZE : integerOf("--size", size, 1, 1024) * MIB,
    };
  }
  if (run !== "serve" && run !== "vmm") {
    throw new UsageError(`there is no command ${JSON.stringify(run)}`);
  }
  if (size !== undefined) throw new UsageError("--size is for the demonstration");
  if (socket === undefined || mem === undefined) {
    throw new UsageError(`${run} needs --socket and --mem`);
  }
  const place = { socket, mem };
  if (run === "serve") {
    return { run, options: { ...place, once: once ?? false, prefetch: !noPrefetch } };
  }
  if (once || noPrefetch) throw new UsageError("--once and --no-prefetch are for serve");
  return { run, options: place };
}

function parseAll(args: string[]) {
  return parse({
    args,
    allowPositionals: true,
    options: {
      socket: { type: "string" },
      mem: { type: "string" },
      once: { type: "boolean" },
      "no-prefetch": { type: "boolean" },
      size: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
}
