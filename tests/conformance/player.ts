/**
 * What plays the operations of a layout.
 *
 * @module
 */
import type { PhysicalMarks } from "./physical_marks.ts";
import type { Json, JsonObject, Operation } from "./trace.ts";
import type { Piece, World } from "./world.ts";
import type { AtomicBitmap } from "@vmm/guest-memory";

/** Plays the operations of a layout, one after the other. */
export interface Player extends Disposable {
  /** The memory that the layout has, for those who have to know what an operation met. */
  readonly scene?: Scene;
  /** Performs an operation or a check, and says what came of it in the form of a trace. */
  play(operation: Operation): JsonObject;
  /** The number of dirty pages, in the form of the dirty column. */
  dirty(): Json;
  /** The state at the end, in the form of the layout's last line. */
  end(): JsonObject;
}

/** A layout with memory, as it is before an operation. */
export interface Scene {
  readonly world: World;
  /** The stretches that an access goes over, given its level, place and length. */
  pieces(operation: Operation, count: number): Piece[];
  /** Every bitmap, whatever it is indexed by. */
  readonly bitmaps: readonly AtomicBitmap[];
  /** What has to be dirty in physical memory, where the crate has other marks. */
  readonly physicalMarks?: PhysicalMarks;
  /** Which bytes of which bitmap an access to a prefix of its range marks. */
  marks(operation: Operation, length: number): readonly Mark[];
}

/** Bytes that are marked in a bitmap. */
export interface Mark {
  readonly bitmap: AtomicBitmap;
  readonly offset: number;
  readonly length: number;
}

/** Operations by name. Each returns its outcome, or throws what becomes one. */
export type Operations = Readonly<
  Record<string, (args: readonly Json[]) => JsonObject>
>;
