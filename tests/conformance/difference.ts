/**
 * A chosen difference from the crate.
 *
 * @module
 */
import type { Scene } from "./player.ts";
import type { Json, JsonObject, Operation } from "./trace.ts";

/** What has to come of an operation. */
export interface Expected {
  readonly outcome: JsonObject;
  /** The dirty column, or `undefined` where nothing is said of it. */
  readonly dirty: Json | undefined;
  /** Looks at the state afterwards, and says what is wrong with it. */
  readonly verify?: () => string | undefined;
}

/** Something that this library does in another way than the crate. */
export interface Difference {
  /** The name under which its uses are counted. */
  readonly id: string;
  /** What is done instead, and why. */
  readonly reason: string;
  /**
   * What has to come of an operation instead of what the crate did, or `undefined` where the
   * difference does not concern it. Called before the operation.
   *
   * @param operation The operation, with what the crate did.
   * @param scene The memory that it meets, if the layout has one.
   */
  instead(operation: Operation, scene: Scene | undefined): Expected | undefined;
}

/** Another outcome with the crate's dirty pages. */
export function outcome(operation: Operation, outcome: JsonObject): Expected {
  return { outcome, dirty: operation.dirty };
}

/** The part of a name after the level: `read` of `m.read`. */
export function methodOf({ name }: Operation): string {
  return name.slice(name.indexOf(".") + 1);
}
