/**
 * Compares this library with the Rust crate that it is a port of, in one go: see `bench/README.md`.
 *
 * Run it with `deno task compare`.
 *
 * @module
 */
import { styleText } from "node:util";
import { parseOptions, USAGE } from "./compare/options.ts";
import { UsageError } from "../../src/bench/program/usage.ts";
import type { Options } from "./compare/options.ts";
import {
  buildRustPeer,
  measureDeno,
  type Measurements,
  PeerError,
  type RustPeer,
} from "./compare/peers.ts";
import { Progress } from "../../src/bench/program/progress.ts";
import { makeReport, type Report } from "./compare/report.ts";
import { takeTurns, type Turn } from "../../src/bench/turns.ts";
import { formatReport, type Paint } from "./compare/table.ts";
import { ANONYMOUS } from "../../src/bench/built_in.ts";
import { machine } from "../../src/bench/program/machine.ts";
import { memcpyName } from "./crate/copies.ts";

const ROOT = new URL("../../", import.meta.url);

async function main(args: string[]): Promise<number> {
  try {
    const options = parseOptions(args);
    if (options === undefined) console.log(USAGE);
    else await compare(options);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`compare: ${error.message} (see --help)`);
      return 2;
    }
    if (error instanceof PeerError) {
      console.error(`compare: ${error.message}`);
      return 1;
    }
    throw error;
  }
}

async function compare(options: Options): Promise<void> {
  const report = await measureBoth(options);
  if (report.geomean === null) {
    console.log("There is no cargo, so this is the Deno side alone.\n");
  }
  for (const line of formatReport(report, painter())) console.log(line);
  if (options.json !== undefined) {
    await Deno.writeTextFile(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  }
  if (options.charts !== undefined && report.geomean !== null) {
    await drawCharts(report, options.charts);
  }
}

async function measureBoth(options: Options): Promise<Report> {
  const { rounds, timeMs, charts } = options;
  using progress = new Progress();
  progress.update("building the Rust side", 0);
  const rust = await buildRustPeer();
  const time = ["--time-ms", String(timeMs)];
  // Deno takes the first turn of all, so C always knows how many threads to have.
  let threads: number | undefined;
  const measureCrateCases = async () => {
    const measured = await measureDeno(time);
    threads ??= measured.threads;
    return measured;
  };
  const measureSystemCalls = async (rust: RustPeer) => {
    const args = ["--system-calls", "--threads", `${threads ?? 1}`];
    return { ...await rust.measure("guest-memory-bench", [...time, ...args]), threads };
  };
  const limits = ["--limits", "--filter", memcpyName("")];
  const copies = ["--copies", ...(charts ? [] : ["--filter", ` ${ANONYMOUS.name} `])];
  const turns = [
    { name: "Deno", take: measureCrateCases },
    ...turnOf(rust, "Rust", (rust) => rust.measure("guest-memory-bench", time)),
    ...turnOf(rust, "system calls in C", measureSystemCalls),
    { name: "virtqueue in Deno", take: () => measureDeno([...time, "--virtqueue"]) },
    ...turnOf(rust, "virtqueue in Rust", (rust) => rust.measure("virtqueue-bench", time)),
    ...turnOf(
      rust,
      "virtqueue by descriptor in Rust",
      (rust) => rust.measure("virtqueue-by-descriptor-bench", time),
    ),
    { name: "copies in Deno", take: () => measureDeno([...time, ...copies]) },
    ...turnOf(rust, "memcpy", (rust) => rust.measure("guest-memory-bench", [...time, ...limits])),
  ];
  let taken = 0;
  const results = await takeTurns(rounds, turns, (round, name) => {
    progress.update(`round ${round + 1} of ${rounds}: ${name}`, taken++ / (rounds * turns.length));
  });
  const of = (name: string) => results[turns.findIndex((turn) => turn.name === name)];
  return makeReport({
    deno: of("Deno")!,
    rust: of("Rust"),
    denoVirtqueue: of("virtqueue in Deno"),
    rustVirtqueue: of("virtqueue in Rust"),
    rustByDescriptor: of("virtqueue by descriptor in Rust"),
    systemCalls: of("system calls in C"),
    denoCopies: of("copies in Deno")!,
    memcpy: of("memcpy"),
  }, describe(options));
}

function turnOf(
  rust: RustPeer | undefined,
  name: string,
  measure: (rust: RustPeer) => Promise<Measurements>,
): Turn<Measurements>[] {
  return rust === undefined ? [] : [{ name, take: () => measure(rust) }];
}

function describe({ rounds, timeMs }: Options): string {
  const date = new Date().toISOString().slice(0, 10);
  return `${machine()}, ${rounds} round${rounds === 1 ? "" : "s"} of ${timeMs} ms a case, ${date}`;
}

async function drawCharts(report: Report, folder: string): Promise<void> {
  // Loaded only here: the charts are all that needs packages.
  const { ratioChart, throughputChart } = await import("./compare/charts.ts");
  await Deno.mkdir(new URL(folder, ROOT), { recursive: true });
  await Deno.writeTextFile(new URL(`${folder}ratio.svg`, ROOT), await ratioChart(report));
  await Deno.writeTextFile(new URL(`${folder}throughput.svg`, ROOT), await throughputChart(report));
  console.log(`Charts: ${folder}ratio.svg, ${folder}throughput.svg`);
}

function painter(): Paint {
  if (!Deno.stdout.isTerminal() || Deno.noColor) return (_colour, text) => text;
  const styles = { ahead: "green", behind: "yellow", dim: "dim" } as const;
  // Its own check of the terminal asks for the environment, which may take a permission.
  return (colour, text) => styleText(styles[colour], text, { validateStream: false });
}

Deno.exitCode = await main(Deno.args);
