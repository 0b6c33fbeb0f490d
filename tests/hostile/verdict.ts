/** Whether what a call throws is what the library promises. */
import * as library from "../../mod.ts";
import { EXPORTS } from "./entry_points.ts";
import { HOSTILE_TEXT, HostileError } from "./argument.ts";
import type { Mischief } from "./mischief.ts";

const CLASSES = Object.values(EXPORTS).flatMap(Object.values).filter((value) =>
  typeof value === "function" && value.prototype instanceof Error
) as unknown as (new () => Error)[];

/** What is wrong with what was thrown, or `undefined`. */
export function faultOf(error: unknown, mischief: Mischief): string | undefined {
  if (error instanceof HostileError) return undefined;
  if (typeof error === "string" && error.startsWith(HOSTILE_TEXT)) return undefined;
  if (error === undefined && mischief.done) return undefined;
  if (!(error instanceof Error)) return `threw ${String(error)}`;
  if (error instanceof RangeError && /call stack/.test(error.message)) return "ran out of stack";
  if (error.constructor === TypeError || error.constructor === RangeError) return undefined;
  if (CLASSES.some((type) => error instanceof type)) return undefined;
  // A file that was closed says so by itself.
  if (error instanceof Deno.errors.BadResource) return undefined;
  return `threw ${error.name}: ${error.message}\n${error.stack}`;
}

// Parameters that mean the same: an error of what the function calls may have the other's name.
const ALIKE = [
  [
    ...["addr", "address", "offset", "base", "iova", "start", "startAddr", "mapTo"],
    ...["count", "length", "size", "byteSize", "len", "total", "mid"],
  ],
  ["value", "expected", "replacement", "mask", "guest address", "region offset"],
];

// What V8 says by itself names no argument.
const NATIVE = new RegExp(
  "^Cannot (convert|mix|read prop|set prop|destructure)|is not (a function|iterable|defined)|" +
    "^Invalid |^The (number|value)|^First argument|^object null",
);

const UNUSABLE = [
  ...[library.MemoryClosed, library.AccessDenied, library.HostAddressNotAvailable],
  ...[library.IommuError, HostileError],
];

/** What is wrong with how an argument was refused that is of a wrong type, or `undefined`. */
export function faultOfRefusal(error: unknown, parameter: string): string | undefined {
  // Where nothing can be accessed at all, that may be said first.
  if (UNUSABLE.some((type) => error instanceof type)) return undefined;
  if (parameter === "value" && error instanceof library.GuestMemoryError) return undefined;
  // An IOMMU that answers with junk fails before a value is looked at.
  if (error instanceof TypeError && /iommu\.translate|revoked/.test(error.message)) {
    return undefined;
  }
  if (!(error instanceof TypeError || error instanceof RangeError)) {
    return `wrong ${parameter} was refused by ${
      error instanceof Error ? error.name : String(error)
    }: ` +
      `${error instanceof Error ? error.message : ""}`;
  }
  const names = [parameter, ...ALIKE.find((names) => names.includes(parameter)) ?? []];
  const named = names.some((name) => new RegExp(`\\b${name}\\b`, "i").test(error.message));
  if (named && !NATIVE.test(error.message)) return undefined;
  return `wrong ${parameter} was refused without its name: ${error.message}`;
}
