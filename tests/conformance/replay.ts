/**
 * Replays traces: every operation with this library, compared with what the crate did.
 *
 *     deno run -A tests/conformance/replay.ts [--backend mmap|heap] FILE...
 *
 * @module
 */
import { parseArgs } from "node:util";
import { AddressPlayer } from "./address_player.ts";
import { BitmapPlayer } from "./bitmap_player.ts";
import { CollectionPlayer } from "./collection_player.ts";
import type { Expected } from "./difference.ts";
import { DIFFERENCES } from "./differences.ts";
import { IommuPlayer } from "./iommu_player.ts";
import { MemoryPlayer } from "./memory_player.ts";
import { sameOutcome, sameValue } from "./outcome.ts";
import { MARKS_BEHIND_AN_IOMMU } from "./physical_marks.ts";
import type { Player, Scene } from "./player.ts";
import type { End, Json, JsonObject, Layout } from "./trace.ts";
import { type Operation, readTrace } from "./trace.ts";
import type { Backend } from "./world.ts";

/** Divergences after which a file is given up, and after which a layout is. */
const MOST_DIVERGENCES = 20;
const MOST_IN_LAYOUT = 3;

/** Where this library did something else than it should. */
export interface Divergence {
  readonly line: number;
  readonly operation: string;
  readonly what: string;
  readonly expected: Json | undefined;
  readonly actual: Json | undefined;
}

/** What came of replaying a trace. */
export interface Report {
  readonly operations: number;
  readonly divergences: readonly Divergence[];
  /** How often each chosen difference from the crate was met. */
  readonly differences: ReadonlyMap<string, number>;
}

/**
 * Replays a trace.
 *
 * @param path The file.
 * @param backend What memory is made of.
 */
export async function replay(path: string | URL, backend: Backend = "mmap"): Promise<Report> {
  const replayer = new Replayer(backend);
  try {
    for await (const line of readTrace(path)) {
      if (line.form === "header") replayer.header(line.fields);
      else if (line.form === "layout") replayer.layout(line);
      else if (line.form === "end") replayer.end(line, line.number);
      else replayer.operation(line, line.number);
      if (replayer.divergences.length >= MOST_DIVERGENCES) break;
    }
    replayer.finish();
  } finally {
    replayer[Symbol.dispose]();
  }
  return replayer;
}

class Replayer implements Report, Disposable {
  operations = 0;
  readonly divergences: Divergence[] = [];
  readonly differences: Map<string, number> = new Map();
  readonly #backend: Backend;
  #announced: JsonObject = {};
  #checks = 0;
  #player: Player | undefined;
  #inLayout = 0;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  header(fields: JsonObject): void {
    if (fields["format"] !== "vm-memory-trace" || fields["version"] !== 1) {
      throw new TypeError(`Cannot replay ${fields["format"]} of version ${fields["version"]}`);
    }
    this.#announced = fields;
  }

  layout({ kind, setup }: Layout): void {
    this.#player?.[Symbol.dispose]();
    this.#player = makePlayer(kind, setup, this.#backend);
    this.#inLayout = 0;
  }

  operation(operation: Operation, line: number): void {
    if (operation.name.includes(".") || operation.name === "reset_dirty") this.operations++;
    else this.#checks++;
    if (this.#player === undefined) return;
    try {
      this.#compare(operation, line, this.#player);
    } catch (error) {
      // The library threw where nothing may be thrown: in what the replayer asks besides.
      this.#diverge(operation, line, `Cannot replay: ${error}`, undefined, undefined);
    }
  }

  end({ state }: End, line: number): void {
    const actual = this.#player?.end();
    if (actual !== undefined && !sameValue(state, actual)) {
      this.#diverge({ name: "end", args: [] }, line, "state", state, actual);
    }
  }

  finish(): void {
    if (this.divergences.length > 0) return;
    const { operations, checks } = this.#announced;
    if (this.operations !== operations || this.#checks !== checks) {
      throw new TypeError(
        `Cannot trust the trace: ${operations} operations and ${checks} checks were announced, ` +
          `not ${this.operations} and ${this.#checks}`,
      );
    }
  }

  [Symbol.dispose](): void {
    this.#player?.[Symbol.dispose]();
  }

  #compare(operation: Operation, line: number, player: Player): void {
    const { scene } = player;
    const difference = differenceOf(operation, scene);
    const asInTrace: Expected = { outcome: operation.result, dirty: operation.dirty };
    const expected = withPhysicalMarks(operation, scene, difference?.expected ?? asInTrace);
    const outcome = player.play(operation);
    const dirty = operation.dirty === undefined ? undefined : player.dirty();
    const problem = expected.verify?.();
    if (!sameOutcome(expected.outcome, outcome)) {
      this.#diverge(operation, line, "result", expected.outcome, outcome);
    } else if (expected.dirty !== undefined && !sameValue(expected.dirty, dirty)) {
      this.#diverge(operation, line, "dirty pages", expected.dirty, dirty);
    } else if (problem !== undefined) {
      this.#diverge(operation, line, problem, undefined, undefined);
    }
    // Where a difference makes none for once, it was not met.
    const inCrate = scene?.physicalMarks?.column(operation.dirty) ?? operation.dirty;
    if (!sameValue(operation.dirty, inCrate)) this.#meet(MARKS_BEHIND_AN_IOMMU.id);
    const asInCrate = sameOutcome(operation.result, outcome) && sameValue(inCrate, dirty);
    if (difference !== undefined && !asInCrate) this.#meet(difference.id);
  }

  #meet(id: string): void {
    this.differences.set(id, (this.differences.get(id) ?? 0) + 1);
  }

  #diverge(
    { name, args }: Pick<Operation, "name" | "args">,
    line: number,
    what: string,
    expected: Json | undefined,
    actual: Json | undefined,
  ): void {
    const operation = `${name} ${JSON.stringify(args)}`;
    this.divergences.push({ line, operation, what, expected, actual });
    // The states may differ from here on, and then nearly all that follows would.
    if (++this.#inLayout < MOST_IN_LAYOUT) return;
    this.#player?.[Symbol.dispose]();
    this.#player = undefined;
  }
}

// What is expected, with the marks of physical memory that the crate does not make.
function withPhysicalMarks(
  operation: Operation,
  scene: Scene | undefined,
  expected: Expected,
): Expected {
  const marks = scene?.physicalMarks;
  if (scene === undefined || marks === undefined) return expected;
  marks.add(operation, expected.outcome, scene);
  if (operation.name === "dirty") return { ...expected, outcome: marks.check(expected.outcome) };
  return { ...expected, dirty: marks.column(expected.dirty) };
}

function differenceOf(
  operation: Operation,
  scene: Scene | undefined,
): { readonly id: string; readonly expected: Expected } | undefined {
  for (const { id, instead } of DIFFERENCES) {
    const expected = instead(operation, scene);
    if (expected !== undefined) return { id, expected };
  }
  return undefined;
}

function makePlayer(kind: string, setup: JsonObject, backend: Backend): Player {
  switch (kind) {
    case "memory":
      return new MemoryPlayer(setup, backend);
    case "iommu":
      return new IommuPlayer(setup, backend);
    case "collection":
      return new CollectionPlayer();
    case "bitmap":
      return new BitmapPlayer(setup);
    case "address":
      return new AddressPlayer();
    default:
      throw new TypeError(`Cannot replay a layout of kind ${kind}`);
  }
}

/** A divergence in words, with where it is. */
export function describe(file: string, divergence: Divergence): string {
  const { line, operation, what, expected, actual } = divergence;
  const values = expected === undefined
    ? ""
    : `\n  expected ${JSON.stringify(expected)}\n  actual   ${JSON.stringify(actual)}`;
  return `${file}:${line}: ${operation}\n  ${what}${values}`;
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    args: Deno.args,
    options: { backend: { type: "string", default: "mmap" } },
    allowPositionals: true,
  });
  let failed = false;
  for (const file of positionals) {
    const began = performance.now();
    const report = await replay(file, values.backend === "heap" ? "heap" : "mmap");
    for (const divergence of report.divergences) console.log(describe(file, divergence));
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    console.log(
      `${file}: ${report.operations} operations in ${seconds} s, ` +
        `${report.divergences.length} divergences`,
    );
    console.log(Object.fromEntries(report.differences));
    failed ||= report.divergences.length > 0;
  }
  if (failed) Deno.exit(1);
}
