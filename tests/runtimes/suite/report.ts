/**
 * How the suite says what it found: in the console, and to the page that runs it.
 *
 * @module
 */
import type { Outcome } from "./case.ts";

/** Says what a run found. A program fails by its exit code; a page has the outcome. */
export function report(outcome: Outcome): void {
  const { passed, failures } = outcome;
  for (const failure of failures) console.error(`FAILED ${failure}`);
  console.log(`${passed} passed, ${failures.length} failed`);
  const here = globalThis as { process?: { exitCode?: number }; outcome?: Outcome };
  here.outcome = outcome;
  if (failures.length > 0 && here.process !== undefined) here.process.exitCode = 1;
}
