/**
 * Measures the rows of a table in turns, and prints it.
 *
 * @module
 */
import { type Options, parseOptions, USAGE } from "./options.ts";
import { machine } from "./machine.ts";
import type { Table } from "./ratio_chart.ts";
import { formatTable, makeRow, type Row } from "./table.ts";
import { Progress } from "./vs_rust/compare/progress.ts";
import { takeTurns } from "./vs_rust/compare/rounds.ts";
import { type Case, measure } from "./vs_rust/crate/harness.ts";

/** Milliseconds that every case runs for before the first is measured. */
const FIRST_MS = 4;

/** What the program was called with. */
export const called: Options = parseOptions(Deno.args) ?? showUsage();

function showUsage(): never {
  console.log(USAGE);
  Deno.exit();
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
  // What V8 compiles for one depends on what the others did: none is to profit from being the first.
  for (const each of cases) measure(each, Math.min(FIRST_MS, called.timeMs));
  const turns = Array.from(cases, (each) => ({
    name: each.name,
    take: () => Promise.resolve(measure(each, called.timeMs).median),
  }));
  const times = new Map<Case, number[]>();
  {
    using progress = new Progress();
    let taken = 0;
    const results = await takeTurns(called.rounds, turns, (_, name) => {
      progress.update(`${title}: ${name}`, taken++ / (called.rounds * turns.length));
    });
    for (const [i, each] of [...cases].entries()) times.set(each, results[i]!);
  }
  const timesOf = (each: Case) => ({ name: each.name, times: times.get(each)! });
  print(
    title,
    shown.map((subject) =>
      makeRow(timesOf(subject), subject.beside === undefined ? undefined : timesOf(subject.beside))
    ),
  );
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
