/**
 * Snapshot of a guest on KVM, and a hundred clones of it that map the snapshot copy-on-write.
 *
 * Run it with `deno task clones`; `--help` shows its options.
 *
 * | Module | What it is about |
 * | --- | --- |
 * | `guest.ts` | the guest, and what its clones have to calculate |
 * | `base.ts` | the guest until its snapshot |
 * | `clone.ts` | a clone until its first exit |
 * | `own_memory.ts` | what a clone takes, by `/proc/self/smaps` |
 * | `report.ts`, `statistics.ts`, `text.ts` | what was measured, and how it is shown |
 *
 * The task sets V8's flag `--no-incremental-marking`. Without it, V8 collects garbage whenever it
 * gets to know of an `ArrayBuffer` of this size, as each memory has one: 2 to 3 ms for every clone.
 *
 * @module
 */
import { type Options, optionsOf, USAGE } from "./clones/arguments.ts";
import { measure, type Report } from "./clones/report.ts";
import { formatReport } from "./clones/text.ts";
import { openOutput } from "./lib/output.ts";
import { Progress } from "./lib/progress.ts";
import { runProgram } from "./lib/program.ts";

const WRONG = 1;
const NOTHING_SHOWN = 2;

async function run(options: Options): Promise<number> {
  const report = await measureWithProgress(options);
  const { paint, columns, print } = openOutput();
  if (options.json) console.log(JSON.stringify(report, undefined, 2));
  else print(formatReport(report, paint, columns));
  return report.problems.length === 0 ? 0 : WRONG;
}

async function measureWithProgress(options: Options): Promise<Report> {
  using progress = new Progress();
  return await measure(options, (number) => {
    progress.update("clone", number, options.clones);
  });
}

if (import.meta.main) {
  const statusOf = () => NOTHING_SHOWN;
  const program = { name: "clones", usage: USAGE, optionsOf, run, statusOf };
  Deno.exitCode = await runProgram(program, Deno.args);
}
