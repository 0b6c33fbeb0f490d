/**
 * Finding out what was written, and snapshots, beside a program in C that makes the same calls.
 *
 * Each figure is the best of several in a new process. Both sides take turns.
 */
import { called, drawChart, isWanted, print } from "./measure.ts";
import { NativeProgram, output } from "./start/native.ts";
import { makeRow, type Row } from "../src/bench/row.ts";
import { takeTurns } from "../src/bench/turns.ts";
import { byteSize, GIB } from "./workload.ts";

/** Takes in a process. */
const TAKES = 20;
/** Snapshots in a process, and memories of a snapshot. */
const SAVES = 4;
const CLONES = 200;
/** Bytes that are loaded lazily, and pages that are touched. */
const LOADED = 2 ** 29;
const FAULTS = 4000;

const title = "Tracking writes, at best";
const size = called.gib * GIB;

// The ratios of bench/README.md.
const aims = new Map<string, number>();

const available = await measure(["probe"]);
{
  using native = NativeProgram.compile(new URL("snapshot/native.c", import.meta.url));
  if (available.writeTracker) {
    await benchTracker(native);
    await benchSnapshots(native);
  } else console.error("snapshot: the kernel has no tracking of writes");
  using faults = NativeProgram.compile(new URL("snapshot/faults.c", import.meta.url));
  if (available.pageFaults) await benchFaults(faults);
  else console.error("snapshot: this process may not handle page faults");
}
await drawChart("snapshot", "Trackers, snapshots and lazy restore beside C", aims);

async function benchTracker(native: NativeProgram | undefined): Promise<void> {
  const rows: Row[] = [];
  // Pages of 1000 that are written before each take: single ones, at equal distances.
  for (const dirty of [0, 10, 100]) {
    const arming = `start, ${byteSize(size)}`;
    const taking = `collect, ${byteSize(size)}, ${dirty / 10} % of pages written`;
    if (!isWanted(title, taking) && !(dirty === 0 && isWanted(title, arming))) continue;
    const args = ["take", size, dirty, TAKES].map(String);
    const takes = [() => measure(args), ...(native ? [() => measureNative(native, args)] : [])];
    const [here, c] = await takeTurns(
      called.rounds,
      takes.map((take) => ({ name: "", take })),
      () => {},
    );
    const add = (name: string, figure: string, rival: string, its: string) => {
      if (!isWanted(title, name)) return;
      const times = here!.map((figures) => figures[figure]!);
      const beside = c && { name: rival, times: c.map((figures) => figures[its]!) };
      rows.push(makeRow({ name, times }, beside, (times) => Math.min(...times)));
      if (figure === "take" && its === "marked") aims.set(name, 1.5);
    };
    if (dirty === 0) add(arming, "arm", "C", "arm");
    add(taking, "take", "C, marks a bitmap too", "marked");
    if (dirty > 0) add(`${taking}, again`, "take", "C, the call alone", "bare");
  }
  print(title, rows);
}

// To and from files in /dev/shm. A tenth of the pages is present, in runs of one.
async function benchSnapshots(native: NativeProgram | undefined): Promise<void> {
  const title = "Snapshots, at best";
  const rows: Row[] = [];
  const cases = [
    { name: "writeSnapshot, 10% of pages present", what: "save", its: "save", rival: "C, by runs" },
    { name: "writeDiff, 10% of pages dirty", what: "diff", its: "save", rival: "C, by runs" },
    { name: "writeDiff, the same, compact", what: "compact", its: "save", rival: "C, by runs" },
    { name: "writeDiff, the same, compact", what: "compact", its: "pack", rival: "C, compact" },
    {
      name: "restore by copy-on-write, first access",
      what: "clone",
      its: "clone",
      rival: "C, mmap",
    },
  ];
  for (const { name, what, its, rival } of cases) {
    const row = `${name}, ${byteSize(size)}`;
    if (!isWanted(title, row)) continue;
    const args = [size, what === "clone" ? 0 : 100, what === "clone" ? CLONES : SAVES].map(String);
    const takes = [
      () => measure([what, ...args]),
      ...(native ? [() => measureNative(native, [its, ...args])] : []),
    ];
    const [here, c] = await takeTurns(
      called.rounds,
      takes.map((take) => ({ name: "", take })),
      () => {},
    );
    const figure = what === "clone" ? "clone" : "save";
    const times = here!.map((figures) => figures[figure]!);
    const beside = c && { name: rival, times: c.map((figures) => figures[figure]!) };
    rows.push(makeRow({ name: row, times }, beside, (times) => Math.min(...times)));
    if (what === "save") aims.set(row, 1.15);
    if (what === "compact") aims.set(row, 1);
  }
  print(title, rows);
}

// From a file in /dev/shm, each page of which has content.
async function benchFaults(native: NativeProgram | undefined): Promise<void> {
  const title = "Loading pages lazily";
  const rows: Row[] = [];
  const bytes = Math.min(size, LOADED);
  const cases = [
    { name: "a page when it is touched, median", what: "fault", figure: "fault", count: FAULTS },
    { name: "the same, 95th percentile", what: "fault", figure: "p95", count: FAULTS },
    { name: `all of ${byteSize(bytes)} in the background`, what: "load", figure: "load", count: 1 },
  ];
  for (const { name, what, figure, count } of cases) {
    if (!isWanted(title, name)) continue;
    const args = [what, bytes, 0, count].map(String);
    const takes = [() => measure(args), ...(native ? [() => measureNative(native, args)] : [])];
    const [here, c] = await takeTurns(
      called.rounds,
      takes.map((take) => ({ name: "", take })),
      () => {},
    );
    const times = here!.map((figures) => figures[figure]!);
    const beside = c && { name: "C, a thread", times: c.map((figures) => figures[figure]!) };
    rows.push(makeRow({ name, times }, beside, (times) => Math.min(...times)));
    if (figure === "fault") aims.set(name, 1.3);
  }
  print(title, rows);
}

type Figures = Readonly<Record<string, number>>;

async function measure(args: string[]): Promise<Figures> {
  const file = new URL("snapshot/process.ts", import.meta.url).href;
  const deno = ["run", "--quiet", "--no-prompt", "--allow-all", file, ...args];
  return JSON.parse(await output(Deno.execPath(), deno)) as Figures;
}

async function measureNative(native: NativeProgram, args: string[]): Promise<Figures> {
  return JSON.parse(await native.run(...args)) as Figures;
}
