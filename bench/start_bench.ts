/**
 * What a program pays for the library at its start, beyond Deno's own: the import and the first
 * mapping. And taking and giving back memory, beside C.
 *
 * Each figure is of a new process, so there is nothing that could be hoisted or folded away. Both sides
 * take turns.
 */
import { called, isWanted, print } from "./measure.ts";
import { NativeProgram, output } from "./start/native.ts";
import { makeRow, type Row } from "../src/bench/row.ts";
import { median } from "../src/bench/statistics.ts";
import { takeTurns } from "../src/bench/turns.ts";
import { byteSize, GIB, MIB } from "./workload.ts";

/** Several, as a collection of garbage may be half of the milliseconds that a mapping takes. */
const PROCESSES_IN_ROUND = 4;
const DISCARDS = 500;

/** What a process printed: nanoseconds. */
type Figures = Readonly<Record<string, number>>;

const isLinux = Deno.build.os === "linux";

await benchStart();
if (isLinux) await benchManagement();

async function benchStart(): Promise<void> {
  const titles = ["At the start, in the median", "At the start, at best"] as const;
  const names = {
    imported: "import of mod.ts",
    first: "first mapping, 1 GiB",
    opened: "of it, opening the C library",
    second: "second mapping, 1 GiB",
  };
  if (!titles.some((title) => Object.values(names).some((name) => isWanted(title, name)))) return;
  const [here, floor] = await turns([
    () => measure("first"),
    // The numbers of its calls are those of Linux.
    ...(isLinux ? [() => measure("floor")] : []),
  ], PROCESSES_IN_ROUND * called.rounds);
  for (const [title, figure] of [[titles[0], median], [titles[1], best]] as const) {
    const rows = Object.entries(names).flatMap(([key, name]): Row[] => {
      if (!isWanted(title, name)) return [];
      const times = here!.map((figures) => figures[key]!);
      const others = floor?.flatMap((figures) => figures[key] ?? []) ?? [];
      const rival = others.length > 0 ? { name: "the bare calls", times: others } : undefined;
      return [makeRow({ name, times }, rival, figure)];
    });
    print(title, rows);
  }
}

async function benchManagement(): Promise<void> {
  const title = "Taking and giving back, at best";
  const size = called.gib * GIB;
  const threads = navigator.hardwareConcurrency;
  const prefaulting = `prefault, ${byteSize(size)}, ${threads} threads`;
  const discarding = "discard, 1 MiB";
  using native = NativeProgram.compile();
  const rows: Row[] = [];
  if (isWanted(title, prefaulting)) {
    const [here, c] = await turns([
      () => measure("prefault", size),
      ...(native ? [async () => ({ c: await native.measure("prefault", size, threads) })] : []),
    ], called.rounds);
    const rival = c && { name: "C", times: c.map((figures) => figures.c!) };
    const times = here!.map(({ prefault }) => prefault!);
    rows.push(makeRow({ name: prefaulting, times }, rival, best));
  }
  if (isWanted(title, discarding)) {
    const [here, c] = await turns([
      () => measure("discard", MIB, DISCARDS),
      ...(native ? [async () => ({ c: await native.measure("discard", MIB, DISCARDS) })] : []),
    ], called.rounds);
    const subject = { name: discarding, times: here!.map((figures) => figures.here!) };
    const bare = here!.map((figures) => figures.bare!);
    rows.push(makeRow(subject, { name: "the bare call, same process", times: bare }, best));
    const rival = c &&
      { name: "C, in a process with one thread", times: c.map((figures) => figures.c!) };
    if (rival !== undefined) rows.push(makeRow(subject, rival, best));
  }
  print(title, rows);
}

function turns(takes: readonly (() => Promise<Figures>)[], rounds: number): Promise<Figures[][]> {
  return takeTurns(rounds, takes.map((take) => ({ name: "", take })), () => {});
}

function best(times: readonly number[]): number {
  return Math.min(...times);
}

async function measure(what: string, ...numbers: number[]): Promise<Figures> {
  const file = new URL("start/process.ts", import.meta.url).href;
  const args = ["run", "--quiet", "--no-prompt", "--allow-all", file, what, ...numbers.map(String)];
  return JSON.parse(await output(Deno.execPath(), args)) as Figures;
}
