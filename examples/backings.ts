/**
 * Compares memory backends: maps memory with every backing and option, and shows what this machine
 * grants, what a discard gives back, and how long each takes.
 *
 * Run it with `deno task backings`; `--help` shows its options.
 *
 * @module
 */
import { type Options, optionsOf, USAGE } from "./backings/arguments.ts";
import { reasonOf } from "./backings/backings_error.ts";
import { candidates } from "./backings/candidates.ts";
import { ensureEnough } from "./backings/memory_limit.ts";
import { compare, type Report } from "./backings/report.ts";
import { formatTable, formatVerdict } from "./backings/table.ts";
import { openOutput } from "./lib/output.ts";
import { Progress } from "./lib/progress.ts";
import { runProgram } from "./lib/program.ts";

const NOT_GIVEN_BACK = 1;
const NOTHING_MEASURED = 2;
const INTERRUPTED = 130;

async function run({ size, json, chart }: Options): Promise<number> {
  ensureEnough(size);
  const report = await withProgress(size);
  if (chart !== undefined) await writeChart(report, chart);
  if (json) console.log(JSON.stringify(report, undefined, 2));
  else print(report, chart);
  return report.ok ? 0 : NOT_GIVEN_BACK;
}

async function withProgress(size: number): Promise<Report> {
  using progress = new Progress();
  // Without a listener a signal would end the program also while a file still has its name.
  const onSignal = () => {
    progress[Symbol.dispose]();
    Deno.exit(INTERRUPTED);
  };
  const signals: Deno.Signal[] = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) Deno.addSignalListener(signal, onSignal);
  try {
    const all = candidates();
    return await compare(all, size, (i) => progress.update(all[i]!.name, i, all.length));
  } finally {
    for (const signal of signals) Deno.removeSignalListener(signal, onSignal);
  }
}

async function writeChart(report: Report, path: string): Promise<void> {
  // With the name written out, Deno would fetch its packages also where no chart is wanted.
  const module = new URL("./backings/chart.ts", import.meta.url).href;
  const { drawChart } = await import(module) as typeof import("./backings/chart.ts");
  await Deno.writeTextFile(path, await drawChart(report));
}

function print(report: Report, chart: string | undefined): void {
  const { paint, columns, print: show } = openOutput();
  const drawn = chart === undefined ? [] : [`The chart is in ${chart}`];
  show([...formatTable(report, paint, columns), ...drawn]);
  show(["", ...formatVerdict(report, paint)]);
}

if (import.meta.main) {
  const statusOf = () => NOTHING_MEASURED;
  const program = { name: "backings", usage: USAGE, optionsOf, run, reasonOf, statusOf };
  Deno.exitCode = await runProgram(program, Deno.args);
}
