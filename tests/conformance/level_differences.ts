/**
 * Differences in the level that an error belongs to.
 *
 * @module
 */
import {
  InvalidBackendAddress,
  Misaligned,
  OutOfBounds,
  Overflow,
  TooBig,
} from "@vmm/guest-memory";
import { BYTES } from "./bytes_player.ts";
import { type Difference, methodOf, outcome } from "./difference.ts";
import { outcomeOf } from "./outcome.ts";
import type { Scene } from "./player.ts";
import { type Json, type JsonObject, numberOf, type Operation, textOf } from "./trace.ts";
import { withScalar } from "./value_types.ts";

/** The differences. */
export const LEVEL_DIFFERENCES: readonly Difference[] = [
  {
    id: "one error at every level",
    reason:
      "An error of a region or a memory is that of the region's slice, with its numbers; the " +
      "crate has InvalidBackendAddress in its place, which is the base of such errors here.",
    instead(operation, scene) {
      const { err, ...record } = operation.result;
      if (err !== "InvalidBackendAddress" || scene === undefined) return undefined;
      const place = placeOf(operation, scene);
      if (place === undefined) return undefined;
      const inSlice = errorInSlice(operation, place, scene);
      return inSlice && outcome(operation, { ...inSlice, ...record });
    },
  },
];

/** Where an operation meets a region: the region's index, and the offset in it. */
interface Place {
  readonly k: number;
  readonly offset: number;
  /** The arguments after the place. */
  readonly args: readonly Json[];
}

// What is not in one region has no slice to ask: the error is InvalidBackendAddress itself then.
function placeOf(operation: Operation, scene: Scene): Place | undefined {
  const { name, args } = operation;
  if (name.startsWith("r.")) {
    return { k: numberOf(args[0]), offset: numberOf(args[1]), args: args.slice(2) };
  }
  const method = methodOf(operation);
  const isAtomic = method === "load" || method === "store";
  const size = isAtomic ? withScalar(textOf(args[1]), ({ codec }) => codec.byteLength) : 1;
  const [piece] = scene.pieces(operation, size);
  if (piece === undefined || piece.length < size) return undefined;
  return { k: piece.k, offset: piece.offset, args: args.slice(1) };
}

// What the same operation comes to on the region's slice, if that is an error of the right kind. A
// trace has operations on slices too, where these errors are compared with the crate's.
function errorInSlice(
  operation: Operation,
  { k, offset, args }: Place,
  { world }: Scene,
): JsonObject | undefined {
  const slice = world.region(k).asVolatileSlice();
  const method = methodOf(operation);
  const outcome = BYTES[method]?.(slice, offset, args) ?? outcomeOf(() => {
    // A byte has a host address where it can be read.
    if (method === "get_host_address") slice.read(new Uint8Array(1), offset);
    else slice.getSlice(offset, numberOf(args[0]));
  });
  return KINDS.has(outcome["err"]) ? outcome : undefined;
}

const KINDS: ReadonlySet<Json | undefined> = new Set(
  [OutOfBounds, Overflow, TooBig, Misaligned]
    .map(({ prototype }) => prototype)
    .filter((prototype) => prototype instanceof InvalidBackendAddress)
    .map(({ name }) => name),
);
