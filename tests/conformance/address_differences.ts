/**
 * Differences that follow from addresses and sizes being numbers below 2^53.
 *
 * @module
 */
import { type Difference, methodOf, outcome } from "./difference.ts";
import { bigintOf, integer, isDigits, type Json, type JsonObject, listOf } from "./trace.ts";
import { type Operation, textOf } from "./trace.ts";
import { withElement } from "./value_types.ts";

const END = 2n ** 53n;

/** The differences. */
export const ADDRESS_DIFFERENCES: readonly Difference[] = [
  {
    id: "address from 2^53",
    reason:
      "GuestAddress() and MemoryRegionAddress() refuse what is not in [0, 2^53): no physical " +
      "address is that wide, and a number would not be exact.",
    instead(operation) {
      if (!addressesOf(operation).some(isDigits)) return undefined;
      const calls = operation.name === "m.try_access" ? { calls: [] } : {};
      return outcome(operation, { err: "RangeError", ...calls });
    },
  },
  {
    id: "sum of addresses from 2^53",
    reason:
      "The checked arithmetic has no result from 2^53 on, where the crate has none from 2^64 on.",
    instead(operation) {
      const isSum = operation.name === "a.checked_add" || operation.name === "a.checked_align_up";
      return isSum && isDigits(operation.result["ok"])
        ? outcome(operation, { ok: null })
        : undefined;
    },
  },
  {
    id: "wrap at 2^53",
    reason: "The overflowing arithmetic wraps around at 2^53, where the crate's does at 2^64.",
    instead(operation) {
      const { name, args: [, a, b] } = operation;
      if (name !== "a.overflowing_add" && name !== "a.overflowing_sub") return undefined;
      const exact = bigintOf(a) + (name.endsWith("add") ? bigintOf(b) : -bigintOf(b));
      const wrapped = exact < 0n || exact >= END;
      return wrapped
        ? outcome(operation, { ok: [integer(BigInt.asUintN(53, exact)), true] })
        : undefined;
    },
  },
  {
    id: "array from 2^53 bytes",
    reason: "An array is TooBig from 2^53 bytes on, where the crate's is from 2^64 on.",
    instead(operation) {
      if (!operation.name.startsWith("s.array")) return undefined;
      const [, , type, nelements] = operation.args;
      const size = withElement(textOf(type), ({ codec }) => codec.byteLength);
      if (bigintOf(nelements) * BigInt(size) < END) return undefined;
      if (operation.result["err"] === "TooBig") return undefined;
      return outcome(operation, { err: "TooBig", nelements: nelements!, size });
    },
  },
  {
    id: "end of a range from 2^53",
    reason:
      "The end of a range in a slice is an Overflow from 2^53 on, where the crate's is from " +
      "2^64 on, and OutOfBounds below.",
    instead(operation) {
      const { addr, host, err, ...rest } = operation.result;
      const end = addr ?? host;
      const { name, args: [, base] } = operation;
      if (!name.startsWith("s.") || err !== "OutOfBounds" || !isDigits(end)) return undefined;
      if (operation.quirk === "zero") return undefined;
      // These look where the access begins, not where it ends.
      if (
        ["read", "write", "read_slice", "write_slice", "read_obj", "write_obj"]
          .includes(methodOf(operation))
      ) return undefined;
      const offset = integer(bigintOf(end) - bigintOf(base));
      return outcome(operation, { ...overflow(operation, offset), ...rest });
    },
  },
  {
    id: "offset of a slice",
    reason: "Errors name offsets in the slice, where the crate's name host addresses: those mean " +
      "nothing to a caller here, and tell a guest where its memory lies.",
    instead(operation) {
      const { host, err, ...rest } = operation.result;
      if (!operation.name.startsWith("s.") || operation.quirk === "zero") return undefined;
      if (host !== undefined) return outcome(operation, { err: err!, addr: host, ...rest });
      if (err !== "Overflow" || "base" in rest) return undefined;
      return outcome(operation, { ...rest, ...overflow(operation, 0) });
    },
  },
  {
    id: "IOTLB beyond 2^53",
    reason: "An IOTLB refuses a range that ends beyond 2^53. It holds nothing there.",
    instead(operation) {
      const { name, args: [iova, length] } = operation;
      if (name !== "t.lookup" && name !== "t.invalidate_mapping") return undefined;
      if (bigintOf(iova) + bigintOf(length) <= END) return undefined;
      return outcome(operation, { err: "IommuError", cause: "IommuMisconfigured" });
    },
  },
];

// The error of a range in a slice that begins where the operation says. The second half of
// `split_at` begins at the end of the first.
function overflow({ name, args: [, base] }: Operation, offset: Json): JsonObject {
  return name === "s.split_at"
    ? { err: "Overflow", base: 0, offset: base! }
    : { err: "Overflow", base: base!, offset };
}

// The arguments of an operation that are addresses, or offsets in a region.
function addressesOf({ name, args }: Operation): readonly (Json | undefined)[] {
  const [a, b, c] = args;
  switch (name) {
    case "m.try_access":
      return [b];
    case "c.mmap_from_ranges":
      return listOf(a).map((range) => listOf(range)[0]);
    case "t.set_mapping":
      return [a, b];
    case "a.checked_add":
    case "a.checked_sub":
      return [b];
    case "r.dirty_at":
    case "r.mark_dirty":
    case "r.reset_addr_range":
      return [];
  }
  switch (name.slice(0, 2)) {
    case "m.":
    case "v.":
    case "t.":
    case "c.":
      return [a];
    case "r.":
      return [b];
    case "a.":
      return [b, c];
    default:
      return [];
  }
}
