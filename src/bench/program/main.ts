/**
 * The program: measures backends of the user's beside those of this library.
 *
 * @module
 */
import { type Backend, BackendError, reasonOf } from "../backend.ts";
import { benchmark } from "../benchmark.ts";
import { BUILT_IN } from "../built_in.ts";
import { MIB } from "../workload.ts";
import { drawChart } from "./chart.ts";
import { ensureWritable, programArguments, setExitCode } from "./host.ts";
import { terminalColumns, writeTextFile } from "./host.ts";
import { loadBackends } from "./load_backends.ts";
import { machine, runtime } from "./machine.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { Progress } from "./progress.ts";
import type { Report } from "./report.ts";
import { formatReport } from "./report_table.ts";
import { UsageError } from "./usage.ts";

const WRONG = 1;
const NOT_MEASURED = 2;

/** Runs the program. */
export async function main(): Promise<void> {
  try {
    setExitCode(await run(programArguments()));
  } catch (error) {
    const hint = error instanceof UsageError ? " (see --help)" : "";
    if (hint === "" && !(error instanceof BackendError)) throw error;
    console.error(`bench: ${(error as Error).message}${hint}`);
    setExitCode(NOT_MEASURED);
  }
}

async function run(args: string[]): Promise<number> {
  const options = parseOptions(args);
  if (options === undefined) {
    console.log(USAGE);
    return 0;
  }
  const { chart, json } = options;
  const yours: Backend[] = [];
  for (const file of options.files) yours.push(...await loadBackends(file));
  if (chart !== undefined) checkChart(chart);
  const report = await measureAll(yours, options);
  if (json) console.log(JSON.stringify(report));
  else console.log(formatReport(report, terminalColumns()).join("\n"));
  if (chart !== undefined) {
    writeTextFile(chart, drawChart(report));
    console.error(`The chart is in ${chart}`);
  }
  return report.rows.some(({ outcome }) => outcome === "wrong") ? WRONG : 0;
}

function checkChart(path: string): void {
  try {
    ensureWritable(path);
  } catch (error) {
    throw new UsageError(`--chart cannot be written: ${reasonOf(error)}`);
  }
}

async function measureAll(yours: readonly Backend[], options: Options): Promise<Report> {
  using progress = new Progress();
  const { mib, rounds, timeMs } = options;
  const rows = await benchmark([...yours, ...BUILT_IN], {
    size: mib * MIB,
    rounds,
    timeMs,
    onProgress: (label, share) => progress.update(label, share),
  });
  const names = yours.map(({ name }) => name);
  return { runtime: runtime(), machine: machine(), mib, rounds, timeMs, yours: names, rows };
}
