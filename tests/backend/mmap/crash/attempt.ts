import {
  GuestMemoryError,
  GuestRegionCollectionError,
  MmapRegionError,
  SystemError,
} from "../../../../mod.ts";

/** Every class of error that the library says it throws for what a caller may get wrong. */
const TYPED = [
  GuestMemoryError,
  GuestRegionCollectionError,
  MmapRegionError,
  RangeError,
  SystemError,
  TypeError,
];

/** Thrown by the caller's code that was called so often that it would never end. */
export class Endless extends Error {
  override name: string = "Endless";
}

/**
 * Tries something.
 *
 * @returns `"completed"`, the name of the typed error, or `"untyped: "` and any other error.
 */
export function attempt(use: () => unknown): string {
  try {
    use();
    return "completed";
  } catch (error) {
    if (!(error instanceof Error)) return `untyped: ${error}`;
    if (error.cause instanceof Endless) return `untyped: ${error.cause.stack}`;
    if (TYPED.some((type) => error instanceof type)) return error.name;
    return `untyped: ${error.stack}`;
  }
}
