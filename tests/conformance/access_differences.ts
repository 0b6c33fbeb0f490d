/**
 * Differences in what an access may be, and in who may say what of it.
 *
 * @module
 */
import { type Difference, methodOf, outcome } from "./difference.ts";
import type { Scene } from "./player.ts";
import { sunk, used } from "./stream_model.ts";
import { integer, type Json, type JsonObject, listOf, numberOf, type Operation } from "./trace.ts";

/** The differences. */
export const ACCESS_DIFFERENCES: readonly Difference[] = [
  {
    id: "no bytes",
    reason: "An access of zero bytes succeeds wherever it is, as the contract of Bytes says; the " +
      "crate looks at the address all the same, or at the permission.",
    instead(operation) {
      // A region that has no host memory has nothing to be asked for either.
      const { name, args: [, length], result } = operation;
      if (name === "c.first_read" && length === 0 && result.err === "HostAddressNotAvailable") {
        return outcome(operation, { ok: 0 });
      }
      if (operation.quirk !== "zero") return undefined;
      const nothing = emptyAccess(operation);
      return nothing && outcome(operation, nothing);
    },
  },
  {
    id: "no bytes to try",
    reason:
      "tryAccess() of zero bytes has nothing to call its function for; the crate's calls it " +
      "with zero bytes, or fails at an address that no region holds.",
    instead(operation) {
      const [count] = operation.args;
      if (operation.name !== "m.try_access" || count !== 0) return undefined;
      return outcome(operation, { ok: 0, calls: [] });
    },
  },
  {
    id: "callback that claims too much",
    reason:
      "A callback of tryAccess() may not claim more than the part it was offered; the crate " +
      "believes it up to the length of the whole access, and goes on behind.",
    instead(operation, scene) {
      if (operation.name !== "m.try_access" || scene === undefined) return undefined;
      const claimed = tryAccess(operation, scene);
      return claimed && outcome(operation, claimed);
    },
  },
  {
    id: "host address of the heap",
    reason: "A region on the heap has no host address, as it may move.",
    instead(operation, scene) {
      if (scene?.world.backend !== "heap") return undefined;
      const { name, result } = operation;
      const found = name === "m.get_host_address" && "ok" in result;
      if (!found && name !== "r.get_host_address") return undefined;
      return outcome(operation, { err: "HostAddressNotAvailable" });
    },
  },
];

function emptyAccess(operation: Operation): JsonObject | undefined {
  const stream = operation.args.at(-2);
  switch (methodOf(operation)) {
    case "write":
      return { ok: 0 };
    case "read":
      return { ok: operation.name.startsWith("c.") ? 0 : [0, ""] };
    case "write_slice":
      return { ok: null };
    case "read_slice":
      return { ok: "" };
    case "read_volatile_from":
      return { ok: 0, ...used(stream, 0) };
    case "read_exact_volatile_from":
      return { ok: null, ...used(stream, 0) };
    case "write_volatile_to":
      return { ok: 0, ...sunk(stream, new Uint8Array()) };
    case "write_all_volatile_to":
      return { ok: null, ...sunk(stream, new Uint8Array()) };
    case "lookup":
    case "get_slices":
      return { ok: [] };
    case "check_range":
      return { ok: true };
    default:
      // A slice of zero bytes has to be somewhere too.
      return undefined;
  }
}

// What comes of `try_access` if its callback at some time claims more than it was offered.
function tryAccess(
  { args: [count, addr, script] }: Operation,
  { world }: Scene,
): JsonObject | undefined {
  const answers = listOf(script);
  const calls: Json[] = [];
  let total = 0;
  for (;;) {
    const [piece] = world.pieces(numberOf(addr) + total, numberOf(count) - total);
    if (piece === undefined) return undefined;
    const answer = answers[calls.length] ?? "all";
    calls.push([integer(total), piece.length, piece.offset, piece.k]);
    if (answer === "error") return undefined;
    const claimed = answer === "all" ? piece.length : numberOf(answer);
    if (claimed === 0) return undefined;
    if (claimed > piece.length) return { err: "CallbackOutOfRange", calls };
    total += claimed;
  }
}
