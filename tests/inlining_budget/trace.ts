/**
 * What V8 inlines into a loop, according to its traces.
 *
 * @module
 */
import { runDeno } from "../backend/mmap/crash/run.ts";

/** A function that is part of a loop. */
export interface Inlined {
  /** Its name, as `at` or `get closed`. */
  readonly name: string;
  /** Its file in the repository. */
  readonly file: string;
  /** Bytes of its bytecode. */
  readonly bytes: number;
  /** Whether they count: V8 takes small functions for nothing. */
  readonly counts: boolean;
}

const ROOT = new URL("../../", import.meta.url).href;
const PROGRAM = new URL("./loop.ts", import.meta.url).href;

const FLAGS = [
  "--allow-natives-syntax",
  // A function that was optimised for itself is taken for larger than its bytecode. Nothing but the
  // loop is optimised here, so that what is found does not depend on what else has run.
  "--turbo-filter=hotLoop",
  "--no-maglev",
  "--no-use-osr",
  "--trace-turbo",
  "--trace-turbo-inlining",
];

/** Flags that give V8 as large a budget as any way takes. */
export const NO_BUDGET: readonly string[] = [
  "--max-inlined-bytecode-size=100000",
  "--max-inlined-bytecode-size-cumulative=100000",
  "--max-inlined-bytecode-size-absolute=100000",
];

/**
 * The functions that V8 makes part of a loop, one for each call.
 *
 * @param statement What the loop does each time.
 * @param flags More flags for V8.
 */
export async function inlinedInto(
  statement: string,
  flags: readonly string[] = [],
): Promise<Inlined[]> {
  const folder = await Deno.makeTempDir();
  try {
    const all = [
      ...FLAGS,
      ...flags,
      `--trace-turbo-path=${folder}`,
      `--trace-turbo-cfg-file=${folder}/any.cfg`,
    ];
    const { code, stdout, stderr } = await runDeno([
      "--allow-all",
      `--v8-flags=${all.join(",")}`,
      PROGRAM,
      statement,
    ]);
    if (code !== 0) throw unknown(`the program ends with ${code}: ${stderr}`);
    return parse(stdout, await lastTrace(folder));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

// V8 numbers its compilations, of which the last one counts.
async function lastTrace(folder: string): Promise<string> {
  const names = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
  const number = (name: string) => Number(/^turbo-hotLoop-(\d+)\.json$/.exec(name)?.[1] ?? -1);
  const last = names.sort((a, b) => number(a) - number(b)).at(-1);
  if (last === undefined || number(last) < 0) {
    throw unknown(`--trace-turbo wrote ${names.join(", ") || "nothing"}`);
  }
  return await Deno.readTextFile(`${folder}/${last}`);
}

/** The parts of a trace that are used. */
interface Trace {
  readonly inlinings: Record<string, { readonly sourceId: number }>;
  readonly sources: Record<string, { readonly functionName: string; readonly sourceName: string }>;
  readonly bytecodeSources: Record<
    string,
    { readonly bytecodeSource: { readonly data: readonly Instruction[] } }
  >;
}

interface Instruction {
  readonly offset: number;
  readonly disassembly: string;
}

/**
 * The functions that are part of `hotLoop`.
 *
 * @param log What `--trace-turbo-inlining` printed.
 * @param trace The file that `--trace-turbo` wrote.
 * @throws {Error} They are not as V8 15.0 writes them.
 */
export function parse(log: string, trace: string): Inlined[] {
  const calls = parseLog(log);
  let functions: Omit<Inlined, "counts">[];
  try {
    functions = parseTrace(JSON.parse(trace));
  } catch (error) {
    throw unknown("the file of --trace-turbo has another form", error);
  }
  const names = (list: readonly { readonly name: string }[]) => list.map(({ name }) => name).join();
  if (functions.length === 0) throw unknown("nothing is part of the loop");
  if (names(functions) !== names(calls)) {
    throw unknown(
      `--trace-turbo has ${names(functions)}, and --trace-turbo-inlining ${names(calls)}`,
    );
  }
  return functions.map((inlined, i) => ({ ...inlined, counts: calls[i]!.counts }));
}

function parseLog(log: string): { name: string; counts: boolean }[] {
  const calls: { name: string; counts: boolean }[] = [];
  let small = false;
  for (const line of log.split("\n")) {
    if (line.startsWith("Begin compiling method hotLoop")) calls.length = 0;
    const name = /^Inlining 0x.*<SharedFunctionInfo (.*)>\} into .*<SharedFunctionInfo hotLoop>/
      .exec(line)?.[1];
    if (name !== undefined) calls.push({ name, counts: !small });
    else small = line.startsWith("Inlining small function");
  }
  return calls;
}

function parseTrace({ inlinings, sources, bytecodeSources }: Trace): Omit<Inlined, "counts">[] {
  return Object.values(inlinings).map(({ sourceId }) => {
    const { functionName, sourceName } = sources[sourceId]!;
    const { offset, disassembly } = bytecodeSources[sourceId]!.bytecodeSource.data.at(-1)!;
    const last = /^(?:[0-9a-f]{2} )+/.exec(disassembly)![0].length / 3;
    return { name: functionName, file: sourceName.replace(ROOT, ""), bytes: offset + last };
  });
}

function unknown(what: string, cause?: unknown): Error {
  return new Error(
    `Cannot understand what V8 ${Deno.version.v8} says of its inlining, so tests/inlining_budget ` +
      `has to be adapted to it: ${what}`,
    { cause },
  );
}
