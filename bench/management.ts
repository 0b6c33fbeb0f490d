/**
 * Taking and giving back memory, beside the same calls of C in a process of its own, in turns; and the
 * first mapping, call by call.
 *
 *     deno run --allow-all bench/management.ts [--gib 4] [--rounds 5]
 *
 * Needs a C compiler (`cc`).
 *
 * @module
 */
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { gib: { type: "string", default: "4" }, rounds: { type: "string", default: "5" } },
});
const SIZE = Number(values.gib) * 2 ** 30;
const ROUNDS = Number(values.rounds);
const DISCARD = 2 ** 20;
const DISCARD_ROUNDS = 500;

const directory = Deno.makeTempDirSync();
const program = `${directory}/management`;
const here = (name: string) => new URL(name, import.meta.url).pathname;

function run(command: string, ...args: string[]): string {
  const { success, stdout, stderr } = new Deno.Command(command, { args }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

function ours(what: string, ...args: string[]): number[] {
  const deno = ["run", "--quiet", "--no-check", "--allow-all", here("./management_side.ts")];
  return JSON.parse(run(Deno.execPath(), ...deno, what, ...args));
}

/** Runs both sides in turns, and prints the best of each with their ratio. */
function compare(name: string, c: () => number, deno: () => number): void {
  const [inC, inDeno] = [[] as number[], [] as number[]];
  for (let i = 0; i < ROUNDS; i++) {
    inC.push(c());
    inDeno.push(deno());
  }
  const [best, other] = [Math.min(...inC), Math.min(...inDeno)];
  const ratios = inC.map((time, i) => inDeno[i]! / time).sort((a, b) => a - b);
  const median = ratios[ratios.length >> 1]!;
  console.log(
    `${name.padEnd(34)} C ${show(best)}  here ${show(other)}  ` +
      `best to best ${(other / best).toFixed(3)}, median of ${ROUNDS} pairs ${median.toFixed(3)}`,
  );
}

/** Prints the best and the median of each part of several runs. */
function list(title: string, names: readonly string[], runs: readonly number[][]): void {
  console.log(`${title}:`);
  for (const [i, name] of names.entries()) {
    const times = runs.map((run) => run[i]!).sort((a, b) => a - b);
    const median = times[times.length >> 1]!;
    console.log(`  ${name.padEnd(32)} best ${show(times[0]!)}, median ${show(median)}`);
  }
}

function show(ns: number): string {
  return (ns >= 1e6 ? `${(ns / 1e6).toFixed(1)} ms` : `${(ns / 1e3).toFixed(1)} us`).padStart(10);
}

try {
  run("cc", "-O2", "-pthread", "-o", program, here("./management.c"));
  const threads = `${navigator.hardwareConcurrency}`;
  compare(
    `prefault ${values.gib} GiB, ${threads} threads`,
    () => Number(run(program, "prefault", `${SIZE}`, threads)),
    () => ours("prefault", `${SIZE}`)[0]!,
  );
  const discards = () => ours("discard", `${DISCARD}`, `${DISCARD_ROUNDS}`);
  compare(
    "discard 1 MiB",
    () => Number(run(program, "discard", `${DISCARD}`, `${DISCARD_ROUNDS}`)),
    () => discards()[0]!,
  );
  const pairs = Array.from({ length: ROUNDS }, discards);
  list("discard 1 MiB, one process", ["here", "the bare call"], pairs);
  list("first mapping of 1 GiB", [
    "import",
    "first mapping",
    "of it opening the C library",
    "second mapping",
  ], Array.from({ length: 4 * ROUNDS }, () => ours("first")));
  list("the same without this library", ["dlopen", "mmap", "getArrayBuffer", "five typed arrays"], [
    ...Array.from({ length: 4 * ROUNDS }, () => ours("floor")),
  ]);
} finally {
  Deno.removeSync(directory, { recursive: true });
}
