/**
 * Differences in transfers between memory and streams.
 *
 * @module
 */
import type { AtomicBitmap } from "@vmm/guest-memory";
import { type Difference, type Expected, outcome } from "./difference.ts";
import type { Mark, Scene } from "./player.ts";
import { sameOutcome } from "./outcome.ts";
import { type Arrival, arrival, departure, transferOf } from "./stream_model.ts";
import { numberOf, type Operation } from "./trace.ts";
import type { Piece } from "./world.ts";

/** The differences. */
export const STREAM_DIFFERENCES: readonly Difference[] = [
  reading(
    "gap",
    "A read from a stream ends with the first short read, so what arrives is a prefix; the crate " +
      "goes on in the next region, and leaves a gap.",
  ),
  reading(
    "exact",
    "An exact read goes on until it is done or the stream ends; the crate's gives up after one short " +
      "read.",
  ),
  reading(
    "lost",
    "A descriptor is read into all regions by one call, so that it gives what it has before it fails; " +
      "the crate's calls for each region, and the failure hides what arrived before.",
  ),
  reading(
    "errdirty",
    "A failed read from a descriptor marks all of the range dirty, since it may have written there; " +
      "the crate marks the region it was at.",
  ),
  reading(
    "eof",
    "An exact read takes what there is before it fails at the end of the stream, whatever the stream; " +
      "the crate's takes nothing from a slice or a cursor that is too short.",
  ),
  {
    id: "short write",
    reason:
      "A write to a stream ends with the first short write and returns its length, as write(2) " +
      "does; the crate goes on until all is written, and fails where the sink is full.",
    instead(operation, scene) {
      const { name, args: [, sink, count], result } = operation;
      if (scene === undefined) return undefined;
      if (name !== "m.write_volatile_to" && name !== "v.write_volatile_to") return undefined;
      // Nothing is written where the range cannot be accessed.
      if ("err" in result && result["err"] !== "IOError") return undefined;
      const pieces = scene.pieces(operation, numberOf(count));
      const written = departure(
        sink,
        transferOf(operation, pieces),
        (length) => contentOf(scene, pieces, length),
      );
      return sameOutcome(written, result) ? undefined : outcome(operation, written);
    },
  },
];

// A difference in reads from streams that the trace marks. What was read is written over by the
// next operation, so the state in between is looked at here.
function reading(quirk: string, reason: string): Difference {
  return {
    id: quirk,
    reason,
    instead(operation, scene) {
      if (operation.quirk !== quirk || scene === undefined) return undefined;
      const pieces = scene.pieces(operation, numberOf(operation.args.at(-1)));
      const read = arrival(operation.args.at(-2), transferOf(operation, pieces));
      return {
        outcome: read.outcome,
        dirty: undefined,
        verify: verifier(operation, scene, pieces, read),
      };
    },
  };
}

// Compares what is in memory, and what is dirty, with what was there before and what arrived.
function verifier(
  operation: Operation,
  scene: Scene,
  pieces: readonly Piece[],
  { bytes, marked }: Arrival,
): NonNullable<Expected["verify"]> {
  const { world, bitmaps } = scene;
  const whole = world.regions.map(({ len }, k) => ({ k, offset: 0, length: len }));
  const content = whole.map((piece) => world.raw(piece).slice());
  let done = 0;
  for (const { k, offset, length } of pieces) {
    content[k]!.set(bytes.subarray(done, done + length), offset);
    done += length;
  }
  const marks = scene.marks(operation, marked);
  const dirty = bitmaps.map((bitmap) =>
    dirtyPages(bitmap).union(markedPages(bitmap, marks.filter((mark) => mark.bitmap === bitmap)))
  );
  return () => {
    if (whole.some((piece) => !sameBytes(world.raw(piece), content[piece.k]!))) {
      return "memory does not hold what had to arrive, or more has changed";
    }
    const wrong = bitmaps.findIndex((bitmap, i) =>
      dirtyPages(bitmap).symmetricDifference(dirty[i]!).size > 0
    );
    if (wrong < 0) return undefined;
    return `dirty pages of bitmap ${wrong}: ${[...dirtyPages(bitmaps[wrong]!)]}, ` +
      `not ${[...dirty[wrong]!]}`;
  };
}

function dirtyPages(bitmap: AtomicBitmap): Set<number> {
  const pages = new Set<number>();
  for (let page = 0; page < bitmap.len; page++) {
    if (bitmap.isBitSet(page)) pages.add(page);
  }
  return pages;
}

function markedPages({ pageSize, len }: AtomicBitmap, marks: readonly Mark[]): Set<number> {
  const pages = new Set<number>();
  for (const { offset, length } of marks) {
    if (length === 0) continue;
    const last = Math.min(Math.floor((offset + length - 1) / pageSize), len - 1);
    for (let page = Math.floor(offset / pageSize); page <= last; page++) pages.add(page);
  }
  return pages;
}

function contentOf({ world }: Scene, pieces: readonly Piece[], length: number): Uint8Array {
  const content = new Uint8Array(length);
  let done = 0;
  for (const piece of pieces) {
    const part = world.raw(piece).subarray(0, length - done);
    content.set(part, done);
    done += part.length;
  }
  return content;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  // A loop is much faster here than `every` with a function.
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  return i === a.length && i === b.length;
}
