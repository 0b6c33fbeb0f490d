/**
 * What a program pays for the library at its start, beyond Deno's own: importing the module, for which
 * 10 ms are allowed, and the first mapping, for which 2 ms are.
 *
 * Each is done once in a new process, so there is nothing that could be hoisted or folded away.
 * The clock runs from the byte that starts the action to the byte that reports its end; what
 * that takes when there is nothing to do is the baseline, to be subtracted.
 */
import { type FirstStep, WaitingProgram } from "./startup/measure.ts";
import { isGranted } from "./workload.ts";

const STEPS: Readonly<Record<FirstStep, string>> = {
  nothing: "nothing",
  import: "import of mod.ts",
  map: "first mapping, 1 GiB",
};

for (const [step, name] of Object.entries(STEPS) as [FirstStep, string][]) {
  Deno.bench({
    name,
    group: "for the first time in a process",
    baseline: step === "nothing",
    ignore: !isGranted("run"),
    // Not more than there is to learn: a process takes some 50 ms.
    n: 20,
    warmup: 2,
    async fn(bench) {
      await using program = await WaitingProgram.start(step);
      bench.start();
      await program.go();
      bench.end();
    },
  });
}
