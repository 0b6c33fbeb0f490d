/**
 * The operations on slices of a memory.
 *
 * @module
 */
import type { VolatileArrayRef, VolatileSlice } from "@vmm/guest-memory";
import { BYTES } from "./bytes_player.ts";
import { outcomeOf } from "./outcome.ts";
import { digest, pattern, untouched } from "./pattern.ts";
import { guestAddressOf, type Json, type JsonObject, listOf } from "./trace.ts";
import { numberOf, regionAddressOf, textOf } from "./trace.ts";
import { type ElementType, withElement, withObject, withScalar } from "./value_types.ts";
import type { World } from "./world.ts";

type Args = readonly Json[];

/** Plays the operations on slices. */
export class SlicePlayer {
  readonly #world: World;

  /** Takes slices of a memory. */
  constructor(world: World) {
    this.#world = world;
  }

  /** The slice that a path names. */
  resolve(path: Json | undefined): VolatileSlice {
    const [first, ...steps] = listOf(path);
    return steps.reduce(narrow, this.#take(first));
  }

  /** Performs an operation. The first argument is the slice's path. */
  play(method: string, [path, ...args]: Args): JsonObject {
    const slice = this.resolve(path);
    const bytes = BYTES[method];
    if (bytes !== undefined) return bytes(slice, numberOf(args[0]), args.slice(1));
    const own = OPERATIONS[method];
    if (own === undefined) throw new TypeError(`Cannot read the trace: no operation s.${method}`);
    return outcomeOf(() => own(slice, args, this));
  }

  /** Where a slice is, as an operation returns it. */
  place(slice: VolatileSlice): Json {
    const { k, offset, length } = this.#world.locate(slice);
    return [k, offset, length];
  }

  #take(step: Json | undefined): VolatileSlice {
    const [kind, ...args] = listOf(step);
    if (kind === "m") {
      return this.#world.memory.getSlice(guestAddressOf(args[0]), numberOf(args[1]));
    }
    return this.#world.region(args[0]).getSlice(regionAddressOf(args[1]), numberOf(args[2]));
  }
}

function narrow(slice: VolatileSlice, step: Json): VolatileSlice {
  const [kind, ...args] = listOf(step);
  const at = numberOf(args[0]);
  switch (kind) {
    case "sub":
      return slice.subslice(at, numberOf(args[1]));
    case "off":
      return slice.offset(at);
    case "low":
      return slice.splitAt(at)[0];
    case "high":
      return slice.splitAt(at)[1];
    default:
      throw new TypeError(`Cannot read the trace: there is no step ${kind}`);
  }
}

type SliceOperation = (slice: VolatileSlice, args: Args, player: SlicePlayer) => Json | void;

const OPERATIONS: Readonly<Record<string, SliceOperation>> = {
  len: (slice) => slice.len,
  subslice: (slice, [offset, count], player) =>
    player.place(slice.subslice(numberOf(offset), numberOf(count))),
  offset: (slice, [count], player) => player.place(slice.offset(numberOf(count))),
  split_at: (slice, [mid], player) =>
    slice.splitAt(numberOf(mid)).map((part) => player.place(part)),
  compute_end_offset: (slice, [base, count]) =>
    slice.computeEndOffset(numberOf(base), numberOf(count)),
  copy_to: (slice, [type, n]) =>
    withElement(textOf(type), (type) => copiedTo(type, n, (elements) => slice.copyTo(elements))),
  copy_from: (slice, [type, seed, n]) =>
    withElement(textOf(type), (type) => {
      slice.copyFrom(patterned(type, seed, n));
    }),
  copy_to_volatile_slice: (slice, [target], player) =>
    slice.copyToVolatileSlice(player.resolve(target)),
  ref_load: (slice, [offset, type]) =>
    withObject(
      textOf(type),
      ({ codec, toJson }) => toJson(slice.getRef(codec, numberOf(offset)).load()),
    ),
  ref_store: (slice, [offset, type, value]) =>
    withObject(
      textOf(type),
      ({ codec, fromJson }) => slice.getRef(codec, numberOf(offset)).store(fromJson(value)),
    ),
  atomic_ref_load: (slice, [offset, type]) =>
    withScalar(
      textOf(type),
      ({ codec, toJson }) => toJson(slice.getAtomicRef(codec, numberOf(offset)).load()),
    ),
  array: (slice, args) => withArray(slice, args, (array) => [array.len, array.elementSize]),
  array_load: (slice, args) =>
    withArray(
      slice,
      args,
      (array, type, [index]) => type.toJson(array.refAt(numberOf(index)).load()),
    ),
  array_store: (slice, args) =>
    withArray(
      slice,
      args,
      (array, type, [index, value]) => array.store(numberOf(index), type.fromJson(value)),
    ),
  array_copy_to: (slice, args) =>
    withArray(
      slice,
      args,
      (array, type, [n]) => copiedTo(type, n, (elements) => array.copyTo(elements)),
    ),
  array_copy_from: (slice, args) =>
    withArray(slice, args, (array, type, [seed, n]) => {
      array.copyFrom(patterned(type, seed, n));
    }),
  array_copy_to_volatile_slice: (slice, args, player) =>
    withArray(
      slice,
      args,
      (array, _type, [target]) => array.copyToVolatileSlice(player.resolve(target)),
    ),
  dirty_at: (slice, [offset]) => slice.bitmap.dirtyAt(numberOf(offset)),
  mark_dirty: (slice, [offset, length]) => slice.markDirty(numberOf(offset), numberOf(length)),
};

// `get_array_ref` with the first three arguments; the others are for what is done with the array.
function withArray(
  slice: VolatileSlice,
  [offset, type, n, ...args]: Args,
  body: <T extends number | bigint>(
    array: VolatileArrayRef<T>,
    type: ElementType<T>,
    args: Args,
  ) => Json | void,
): Json | void {
  return withElement(
    textOf(type),
    (type) => body(slice.getArrayRef(type.codec, numberOf(offset), numberOf(n)), type, args),
  );
}

function patterned<T extends number | bigint>(
  type: ElementType<T>,
  seed: Json | undefined,
  n: Json | undefined,
): ReturnType<ElementType<T>["elements"]> {
  return type.elements(pattern(numberOf(seed), numberOf(n) * type.codec.byteLength));
}

function copiedTo<T extends number | bigint>(
  type: ElementType<T>,
  n: Json | undefined,
  copy: (elements: ReturnType<ElementType<T>["elements"]>) => number,
): Json {
  const buffer = untouched(numberOf(n) * type.codec.byteLength);
  return [copy(type.elements(buffer)), digest(buffer)];
}
