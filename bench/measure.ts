/**
 * Measures the rows of a table in turns, and prints it.
 *
 * @module
 */
import { type Options, parseOptions, USAGE } from "./options.ts";
import type { Case } from "../src/bench/harness.ts";
import { measureInTurns } from "../src/bench/measure_in_turns.ts";
import { machine } from "../src/bench/program/machine.ts";
import { Progress } from "../src/bench/program/progress.ts";
import { makeRow, type Row } from "../src/bench/row.ts";
import type { Table } from "./ratio_chart.ts";
import { formatTable } from "./table.ts";
import { UsageError } from "../src/bench/program/usage.ts";

/** What the program was called with. */
export const called: Options = optionsOrExit();

function optionsOrExit(): Options {
  try {
    const options = parseOptions(Deno.args);
    if (options !== undefined) return options;
    console.log(USAGE);
    return Deno.exit(0);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`bench: ${error.message} (see --help)`);
    return Deno.exit(2);
  }
}

/** Something to measure, and what to show beside it. */
export interface Subject extends Case {
  /** Its rival. Where several have the same, it is measured once in a round for all. */
  readonly beside?: Case | undefined;
}

/**
 * Something to measure.
 *
 * @param name What it is.
 * @param beside Its rival, if it has one.
 * @param run Does it so many times, in a loop of its own.
 */
export function row(name: string, beside: Case | undefined, run: Case["run"]): Subject {
  return { name, beside, run };
}

/**
 * What a program could do instead.
 *
 * @param name What it is.
 * @param run Does it so many times, in a loop of its own.
 */
export function rival(name: string, run: Case["run"]): Case {
  return { name, run };
}

/**
 * Measures subjects and their rivals in rounds, every second one in reverse, and prints a row for
 * each.
 *
 * A subject has its own loop, so that no call of a closure is measured with an access. What is left is
 * the loop, the address out of its table, and the sink: on both sides, and not subtracted.
 *
 * @param title What the subjects have in common.
 * @param subjects The subjects.
 */
export async function bench(title: string, subjects: readonly Subject[]): Promise<void> {
  const shown = subjects.filter(({ name }) => isWanted(title, name));
  const cases = new Set<Case>();
  for (const subject of shown) {
    cases.add(subject);
    if (subject.beside !== undefined) cases.add(subject.beside);
  }
  const times = await measureCases(title, cases);
  const timesOf = (each: Case) => ({ name: each.name, times: times.get(each)! });
  print(
    title,
    shown.map((subject) =>
      makeRow(timesOf(subject), subject.beside === undefined ? undefined : timesOf(subject.beside))
    ),
  );
}

async function measureCases(title: string, cases: Iterable<Case>): Promise<Map<Case, number[]>> {
  using progress = new Progress();
  const onTurn = (name: string, share: number) => progress.update(`${title}: ${name}`, share);
  return await measureInTurns(cases, { ...called, onTurn });
}

/**
 * Prints a table, or nothing where it has no rows.
 *
 * @param title What the rows have in common.
 * @param rows The rows.
 */
export function print(title: string, rows: readonly Row[]): void {
  if (rows.length === 0) return;
  printed.push({ title, rows });
  if (called.json) console.log(JSON.stringify({ title, rows }));
  else console.log(`${formatTable(title, rows).join("\n")}\n`);
}

/** The tables that were printed. */
const printed: Table[] = [];

/**
 * Draws what was printed, if that is asked for.
 *
 * @param name The name of the picture.
 * @param title What it shows.
 * @param aims Which ratio a row should have at most, by its name.
 */
export async function drawChart(
  name: string,
  title: string,
  aims: ReadonlyMap<string, number>,
): Promise<void> {
  if (called.charts === undefined) return;
  // Loaded only where it is needed: it takes longer than a small benchmark.
  const { ratiosChart } = await import("./ratio_chart.ts");
  const folder = new URL(`../${called.charts}`, import.meta.url);
  await Deno.mkdir(folder, { recursive: true });
  const conditions = `Deno ${Deno.version.deno}, ${machine()}`;
  const svg = await ratiosChart(title, conditions, printed, aims);
  await Deno.writeTextFile(new URL(`${name}.svg`, folder), svg);
  console.error(`${called.charts}${name}.svg`);
}

/** Whether a row is asked for. */
export function isWanted(title: string, name: string): boolean {
  return title.includes(called.filter) || name.includes(called.filter);
}
