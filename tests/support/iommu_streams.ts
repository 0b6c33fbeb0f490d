/**
 * Streams to and from translated memory, and what the model says of a transfer.
 *
 * @module
 */
import type { ByteSink, ByteSource, Permissions, VolatileSlice } from "../../mod.ts";
import type { Located, Model, Outcome } from "./iommu_model.ts";

/** A stream that moves so many bytes at each call, and then no more. */
export class Pieces {
  readonly moved: number[] = [];
  readonly #steps: number[];

  constructor(steps: readonly number[]) {
    this.#steps = [...steps];
  }

  take(limit: number): number[] {
    const count = Math.min(this.#steps.shift() ?? 0, limit);
    const taken = Array.from({ length: count }, (_, i) => (this.moved.length + i + 1) & 0xff);
    this.moved.push(...taken);
    return taken;
  }

  accept(content: readonly number[]): number {
    const count = Math.min(this.#steps.shift() ?? 0, content.length);
    this.moved.push(...content.slice(0, count));
    return count;
  }
}

export const KINDS = ["readVolatile", "readSync", "readVectoredVolatile"] as const;
type Kind = typeof KINDS[number];

export function source(kind: Kind, pieces: Pieces): ByteSource {
  const readVolatile = (slice: VolatileSlice) =>
    slice.write(Uint8Array.from(pieces.take(slice.len)), 0);
  switch (kind) {
    case "readVolatile":
      return { readVolatile };
    case "readSync":
      return {
        readSync(view) {
          const taken = pieces.take(view.length);
          view.set(taken);
          return taken.length === 0 ? null : taken.length;
        },
      };
    case "readVectoredVolatile":
      return {
        readVolatile,
        readVectoredVolatile(slices) {
          const taken = pieces.take(slices.reduce((sum, { len }) => sum + len, 0));
          let done = 0;
          for (const slice of slices) {
            done += slice.write(Uint8Array.from(taken.slice(done, done + slice.len)), 0);
          }
          return done;
        },
      };
  }
}

export function sink(kind: Kind, pieces: Pieces): ByteSink {
  const writeVolatile = (slice: VolatileSlice) => pieces.accept([...slice.readOnlyView()]);
  switch (kind) {
    case "readVolatile":
      return { writeVolatile };
    case "readSync":
      return { writeSync: (view) => pieces.accept([...view]) };
    case "readVectoredVolatile":
      return {
        writeVolatile,
        writeVectoredVolatile: (slices) =>
          pieces.accept(slices.flatMap((slice) => [...slice.readOnlyView()])),
      };
  }
}

// One transfer of a stream, in the model: an operation for each piece of memory, or one for all.
export function transferOnce(
  model: Model,
  kind: Kind,
  at: number,
  count: number,
  needs: Permissions,
  move: (at: number, physical: readonly number[]) => number,
): number | Outcome {
  const located = model.locate(at, count, needs);
  if ("error" in located) return located;
  const { physical, pieces } = located as Located;
  let done = 0;
  for (const length of kind === "readVectoredVolatile" ? [physical.length] : pieces) {
    const moved = move(at + done, physical.slice(done, done + length));
    done += moved;
    if (moved < length) break;
  }
  return done;
}

// As many as it takes.
export function transferAll(
  model: Model,
  count: number,
  at: number,
  needs: Permissions,
  once: (at: number, rest: number) => number | Outcome,
  whenNothing: string,
): Outcome {
  let completed = 0;
  while (completed < count) {
    if (completed > 0 && "error" in model.locate(at + completed, 1, needs)) break;
    const done = once(at + completed, count - completed);
    if (typeof done !== "number") return done;
    if (done === 0) return { error: whenNothing };
    completed += done;
  }
  return completed === count ? {} : { error: "PartialBuffer", expected: count, completed };
}

// Where the data ends before the range, that it ended is what counts here.
export function withoutEnd(outcome: Outcome, ended: boolean): Outcome {
  const { error, kind } = outcome;
  const says = error === "PartialBuffer" || error === "IOError" && kind === "UnexpectedEof";
  return ended && says ? { error: "ended" } : outcome;
}
