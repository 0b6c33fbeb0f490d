/**
 * What an operation came to, in the form of a trace.
 *
 * @module
 */
import {
  CannotResolve,
  Fragmented,
  InvalidGuestAddress,
  IOError,
  IommuError,
  IotlbFails,
  type IovaRange,
  Misaligned,
  OutOfBounds,
  Overflow,
  PartialBuffer,
  SystemError,
  TooBig,
} from "@vmm/guest-memory";
import { integer, isDigits, isList, type Json, type JsonObject, numberOf } from "./trace.ts";

/** Errors of which a trace records no more than the name. */
const BARE: ReadonlySet<string> = new Set([
  "InvalidBackendAddress",
  "HostAddressNotAvailable",
  "CallbackOutOfRange",
  "GuestAddressOverflow",
  "NoMemoryRegion",
  "MemoryRegionOverlap",
  "UnsortedMemoryRegions",
  "InvalidGuestRegion",
  // Not in the crate: how this library refuses a number from 2^53 on where it takes an address.
  "RangeError",
]);

/** Runs an operation: its value is the outcome's `ok`, what it throws the outcome's `err`. */
export function outcomeOf(operate: () => Json | void): JsonObject {
  try {
    return { ok: operate() ?? null };
  } catch (error) {
    return failure(error);
  }
}

/** An error as a trace shows it. */
export function failure(error: unknown): JsonObject {
  if (!(error instanceof Error)) return { err: String(error) };
  const err = error.name;
  if (error instanceof InvalidGuestAddress) return { err, address: error.address };
  if (error instanceof PartialBuffer) {
    return { err, expected: integer(error.expected), completed: error.completed };
  }
  if (error instanceof OutOfBounds) return { err, addr: integer(error.address) };
  if (error instanceof Overflow) {
    return { err, base: integer(error.base), offset: integer(error.offset) };
  }
  if (error instanceof TooBig) {
    return { err, nelements: integer(error.nelements), size: error.size };
  }
  if (error instanceof Misaligned) {
    return { err, pageOffset: error.address % 4096, alignment: error.alignment };
  }
  if (error instanceof IOError) return ioFailure(error);
  if (error instanceof IotlbFails) {
    return { err, misses: ranges(error.misses), accessFails: ranges(error.accessFails) };
  }
  if (error instanceof IommuError) return iommuFailure(error);
  // `SystemError` takes the place of the variant `Mmap`.
  if (error instanceof SystemError && error.call === "mmap") {
    return { err: "Mmap", errno: error.errno };
  }
  return BARE.has(err) ? { err } : { err, message: error.message };
}

function ioFailure({ kind, cause, message }: IOError): JsonObject {
  if (cause instanceof SystemError) return { err: "IOError", errno: cause.errno };
  return kind === "Other" ? { err: "IOError", kind, message } : { err: "IOError", kind };
}

function iommuFailure(error: IommuError): JsonObject {
  const failure = { err: "IommuError", cause: error.name };
  if (!(error instanceof CannotResolve || error instanceof Fragmented)) return failure;
  const { base, length } = error.iovaRange;
  return { ...failure, base: integer(base), length: integer(length) };
}

function ranges(list: readonly IovaRange[]): Json {
  return list.map(({ base, length }) => [integer(base), integer(length)]);
}

/** Whether two outcomes are the same. */
export function sameOutcome(a: JsonObject, b: JsonObject): boolean {
  return same(a, b, "err" in a);
}

/** Whether two values are the same. */
export function sameValue(a: Json | undefined, b: Json | undefined): boolean {
  return same(a, b, false);
}

// The numbers in errors are compared as numbers: from 2^53 on what this library has is not exact.
function same(a: Json | undefined, b: Json | undefined, inError: boolean): boolean {
  if (a === b) return true;
  if (isList(a)) {
    return isList(b) && a.length === b.length && a.every((item, i) => same(item, b[i], inError));
  }
  if (typeof a === "string") {
    return inError && isDigits(a) && isDigits(b) && numberOf(a) === numberOf(b);
  }
  if (typeof a !== "object" || a === null) return false;
  if (typeof b !== "object" || b === null || isList(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length &&
    keys.every((key) => key in b && same(a[key], b[key], inError || key === "then"));
}
