/**
 * The marks of the physical memory behind an IOMMU, which the crate does not make.
 *
 * @module
 */
import type { AtomicBitmap } from "@vmm/guest-memory";
import { type Difference, methodOf } from "./difference.ts";
import type { Mark, Scene } from "./player.ts";
import { arrival, transferOf } from "./stream_model.ts";
import { type Json, type JsonObject, listOf, numberOf, objectOf } from "./trace.ts";
import { type Operation, textOf } from "./trace.ts";
import { withObject, withScalar } from "./value_types.ts";

/** The difference, for the table of all. */
export const MARKS_BEHIND_AN_IOMMU: Pick<Difference, "id" | "reason"> = {
  id: "marks behind an IOMMU",
  reason:
    "A write behind an IOMMU marks the physical memory's bitmaps too, as a migration has to see " +
    "it; the crate's marks the I/O virtual space only.",
};

/** The physical pages that have to be dirty, worked out from each operation and its outcome. */
export class PhysicalMarks {
  readonly #bitmaps: readonly AtomicBitmap[];
  readonly #pages: readonly Set<number>[];

  /**
   * Begins with nothing marked.
   *
   * @param bitmaps The bitmaps of the regions.
   */
  constructor(bitmaps: readonly AtomicBitmap[]) {
    this.#bitmaps = bitmaps;
    this.#pages = bitmaps.map(() => new Set<number>());
  }

  /** Adds what an operation marks. Called before the operation, while addresses are what it meets. */
  add(operation: Operation, outcome: JsonObject, scene: Scene): void {
    if (operation.name === "reset_dirty") { for (const pages of this.#pages) pages.clear(); }
    const length = writtenBy(operation, outcome, scene);
    if (length > 0) { for (const mark of scene.marks(operation, length)) this.#mark(mark); }
  }

  /** The dirty column: the number of physical pages in place of the crate's. */
  column(dirty: Json | undefined): Json | undefined {
    if (dirty === undefined) return undefined;
    return [this.#pages.reduce((sum, pages) => sum + pages.size, 0), listOf(dirty)[1]!];
  }

  /** What the check `dirty` has to give: physical runs in place of the crate's. */
  check({ ok }: JsonObject): JsonObject {
    return { ok: { ...objectOf(ok), regions: this.#pages.map(runsOf) } };
  }

  #mark({ bitmap, offset, length }: Mark): void {
    const pages = this.#pages[this.#bitmaps.indexOf(bitmap)];
    const last = Math.floor((offset + length - 1) / bitmap.pageSize);
    for (let page = Math.floor(offset / bitmap.pageSize); page <= last; page++) pages?.add(page);
  }
}

// How many bytes from the start of its range an operation marks.
function writtenBy(operation: Operation, outcome: JsonObject, scene: Scene): number {
  const { args } = operation;
  const { err, ok, completed } = outcome;
  switch (methodOf(operation)) {
    case "write":
      return err === undefined ? numberOf(ok) : 0;
    case "write_slice":
      return completed === undefined ? whole(err, numberOf(args[2])) : numberOf(completed);
    case "write_obj": {
      const size = withObject(textOf(args[1]), ({ codec }) => codec.byteLength);
      return completed === undefined ? whole(err, size) : numberOf(completed);
    }
    case "store":
      return whole(err, withScalar(textOf(args[1]), ({ codec }) => codec.byteLength));
    case "read_volatile_from":
    case "read_exact_volatile_from": {
      if (err !== undefined && err !== "IOError" && err !== "PartialBuffer") return 0;
      const pieces = scene.pieces(operation, numberOf(args[2]));
      return arrival(args[1], transferOf(operation, pieces)).marked;
    }
    default:
      return 0;
  }
}

function whole(err: Json | undefined, size: number): number {
  return err === undefined ? size : 0;
}

function runsOf(pages: ReadonlySet<number>): Json {
  const runs: [first: number, pages: number][] = [];
  for (const page of [...pages].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === page) last[1]++;
    else runs.push([page, 1]);
  }
  return runs;
}
