/**
 * Looks into the memory of a running QEMU guest, from another process: its kernel, its memory map,
 * and which pages it changes, in the terminal or in a browser.
 *
 * Run it with `deno task introspect`; `--help` shows its options.
 *
 * | Module | What it is about |
 * | --- | --- |
 * | `attach.ts`, `processes.ts` | how another process's memory is found and mapped |
 * | `layout.ts`, `qmp.ts` | where it is in the guest |
 * | `banner.ts` | which kernel runs |
 * | `sweeper.ts`, `share_sweeper.ts`, `sweep_worker.ts`, `page_hash.ts` | what changes |
 * | `watching.ts`, `picture.ts`, `report.ts` | how it is shown here |
 * | `source.ts`, `../view` | how it is shown in a browser |
 *
 * @module
 */
import { pageSize } from "@vmm/guest-memory";
import { type Options, optionsOf, USAGE } from "./introspect/arguments.ts";
import { attach, type Guest } from "./introspect/attach.ts";
import { type Banner, findBanner } from "./introspect/banner.ts";
import { IntrospectError, reasonOf } from "./introspect/introspect_error.ts";
import { drawMemory } from "./introspect/picture.ts";
import { isRunning } from "./introspect/processes.ts";
import { formatGuest, formatWatched, reportOf, type Watched } from "./introspect/report.ts";
import { type Sweep, Sweeper } from "./introspect/sweeper.ts";
import { sourceOf } from "./introspect/source.ts";
import { sweeps } from "./introspect/watching.ts";
import { fold, openOutput } from "./lib/output.ts";
import { PageMap } from "./view/page_map.ts";
import { serveView } from "./view/server.ts";
import { runProgram } from "./lib/program.ts";

const GUEST_ENDED = 1;
const NOT_ATTACHED = 2;
const PICTURE_LINES = 16;
const SIGNALS: Deno.Signal[] = ["SIGINT", "SIGTERM", "SIGHUP"];
const CLEAR = "\x1b[H\x1b[J";
const OTHER_SCREEN = ["\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"];

async function run(options: Options): Promise<number> {
  if (options.watch && !Deno.stdout.isTerminal()) {
    throw new IntrospectError("--watch needs a terminal: without one, use --json or --serve");
  }
  using guest = await attach(options);
  return await show(guest, options);
}

async function show(guest: Guest, options: Options): Promise<number> {
  const ending = new AbortController();
  const onSignal = () => ending.abort();
  for (const signal of SIGNALS) Deno.addSignalListener(signal, onSignal);
  try {
    using sweeper = new Sweeper(guest.memory, pageSize());
    const banner = findBanner(guest.memory);
    if (options.port === undefined) {
      await watchInTerminal(guest, banner, sweeper, options, ending.signal);
    } else await serve(guest, banner, sweeper, options.port, ending);
    return isRunning(guest.pid) ? 0 : GUEST_ENDED;
  } finally {
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, onSignal);
  }
}

async function watchInTerminal(
  guest: Guest,
  banner: Banner | undefined,
  sweeper: Sweeper,
  { watch, seconds, json }: Options,
  signal: AbortSignal,
): Promise<void> {
  const { pages } = sweeper;
  const map = new PageMap(pages.count);
  const output = openOutput();
  const { paint } = output;
  let first: Sweep | undefined;
  let watched: Watched | undefined;
  using _screen = watch ? otherScreen() : undefined;
  for await (const sweep of sweeps(sweeper, guest.pid, signal)) {
    map.apply(sweep.runs, sweep.at);
    first ??= sweep;
    watched = {
      map,
      seconds: (sweep.at - first.at) / 1000,
      sweeps: (watched?.sweeps ?? 0) + 1,
      sweepMs: Math.min(sweep.milliseconds, watched?.sweepMs ?? Infinity),
      last: sweep,
    };
    if (watch) write([CLEAR, ...folded(text(watched))].join("\n"));
    else if (watched.seconds >= seconds) break;
  }
  if (watch || watched === undefined) return;
  if (json) console.log(JSON.stringify(reportOf(guest, banner, pages, watched), undefined, 2));
  else output.print(text(watched));

  function folded(lines: readonly string[]): string[] {
    const { columns } = output;
    return columns === undefined ? [...lines] : lines.flatMap((line) => fold(line, columns));
  }

  function text(watched: Watched): string[] {
    return [
      ...formatGuest(guest, banner, paint),
      "",
      ...drawMemory(pages, map, watched.last.at, PICTURE_LINES, paint, output.columns),
      formatWatched(pages, watched),
    ];
  }
}

async function serve(
  guest: Guest,
  banner: Banner | undefined,
  sweeper: Sweeper,
  port: number,
  ending: AbortController,
): Promise<void> {
  let failure: unknown;
  const source = sourceOf(guest, banner, sweeper, (error) => {
    failure = error;
    ending.abort();
  });
  await using server = serveView(source, port);
  console.log(server.url);
  await new Promise((resolve) => {
    if (ending.signal.aborted) resolve(undefined);
    ending.signal.addEventListener("abort", resolve);
  });
  if (failure !== undefined) throw failure;
}

function otherScreen(): Disposable {
  write(OTHER_SCREEN[0]!);
  return { [Symbol.dispose]: () => write(OTHER_SCREEN[1]!) };
}

function write(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}

if (import.meta.main) {
  const statusOf = () => NOT_ATTACHED;
  const program = { name: "introspect", usage: USAGE, optionsOf, run, reasonOf, statusOf };
  Deno.exitCode = await runProgram(program, Deno.args);
}
