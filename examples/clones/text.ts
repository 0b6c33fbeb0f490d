/**
 * What was measured, for a terminal.
 *
 * @module
 */
import type { Paint } from "../lib/terminal.ts";
import { count, shortDuration, size } from "../lib/units.ts";
import { PATTERN_SIZE } from "./guest.ts";
import type { Report, Times } from "./report.ts";
import { histogramOf, type Spread } from "./statistics.ts";

const LABEL = 27;
const COLUMN = 10;
const LONGEST_BAR = 50;
const SHORTEST_BAR = 10;
/** Columns beside a bar. */
const BESIDE_BAR = 30;
const MOST_RANGES = 10;

/**
 * The report in lines of at most 80 columns, with bars that have less room in fewer.
 *
 * @param report What was measured.
 * @param paint Gives the text its colours.
 * @param width Columns that there are.
 */
export function formatReport(report: Report, paint: Paint, width: number = 80): string[] {
  const { memory, clones, snapshot, problems } = report;
  const { bytes, stored, fill, save, write } = snapshot;
  const title = (text: string) => paint("bold", text);
  return [
    title(`A guest of ${size(memory)} on KVM, and ${count(clones, "clone")} of it`),
    `  The guest wrote ${size(PATTERN_SIZE)} in ${shortDuration(fill)}, and paused. Saved: ` +
    `its registers in ${shortDuration(save)},`,
    `  its memory in ${shortDuration(write)}, to a file of ${size(bytes)} ` +
    `of which ${size(stored)} are stored.`,
    "",
    title(header("Time from restore to", ["first", "min", "median", "p95", "max"])),
    ...timeRows(report),
    paint("dim", "  * before there are machines: with each, the kernel takes longer to map memory"),
    "",
    title("From restore to the first exit, clones by time"),
    ...formatHistogram(report.exits, paint, width),
    "",
    title(header("Memory of each clone", ["", "min", "median", "", "max"])),
    memoryRow("private", report.own),
    memoryRow("shared with all others", report.shared),
    `  In all, ${count(clones, "clone")} of ${size(memory)} take ${size(report.own.total)}, ` +
    `and the file once.`,
    "",
    ...comparisons(report).map((line) => `  ${line}`),
    "",
    ...verdict(problems, clones, paint),
  ];
}

function header(text: string, columns: readonly string[]): string {
  return text.padEnd(LABEL) + columns.map((column) => column.padStart(COLUMN)).join("");
}

function timeRows({ times, sizes }: Report): string[] {
  const row = (text: string, { first, min, median, p95, max }: Times) =>
    header(`  ${text}`, [first, min, median, p95, max].map(shortDuration));
  return [
    ...sizes.map(({ memory, access }) => row(`first access, ${size(memory)} *`, access)),
    row("first access, clones", times.access),
    row("first exit, clones", times.exit),
    row("  machine on KVM", times.machine),
    row("  registers", times.load),
    row("  guest runs", times.run),
  ];
}

function memoryRow(text: string, { min, median, max }: Spread): string {
  return header(`  ${text}`, ["", size(min), size(median), "", size(max)]);
}

function formatHistogram(values: readonly number[], paint: Paint, width: number): string[] {
  const longest = Math.max(SHORTEST_BAR, Math.min(LONGEST_BAR, width - BESIDE_BAR));
  const ranges = Math.min(MOST_RANGES, 1 + Math.ceil(Math.sqrt(values.length)));
  const { start, width: range, counts } = histogramOf(values, ranges);
  const most = Math.max(...counts);
  return counts.map((number, i) => {
    const from = `${(start + i * range).toFixed(2)} ms`.padStart(9);
    const bar = "█".repeat(Math.ceil(number / most * longest));
    const space = number > 0 ? " " : "";
    const more = i === ranges - 1 ? "+" : " ";
    return `  ${from}${more} ${paint("cyan", bar)}${space}${number}`;
  });
}

function comparisons({ times, eager, own }: Report): string[] {
  const { access, machine, run, exit } = times;
  const parts = { restore: access, "KVM's machine": machine, "the guest itself": run };
  const [name, part] = Object.entries(parts).toSorted(([, a], [, b]) => b.median - a.median)[0]!;
  const share = Math.round(part.median / exit.median * 100);
  const ratio = (eager.access / access.median).toFixed(0);
  return [
    `Most of the time to a first exit is ${name}: ${Math.min(share, 100)} %.`,
    `Read eagerly, a clone has its memory after ${shortDuration(eager.access)}: ` +
    `${ratio} times as long.`,
    `It exits after ${shortDuration(eager.exit)}, ` +
    `with ${size(eager.own)} of private memory in place of ${size(own.median)}.`,
  ];
}

function verdict(problems: readonly string[], clones: number, paint: Paint): string[] {
  if (problems.length > 0) return problems.map((problem) => paint("red", problem));
  const all = clones === 1 ? "The clone" : `All ${clones} clones`;
  return [paint("green", `${all} continued from the snapshot, each with the right result.`)];
}
