/**
 * Measures kinds of memory beside a bare typed array.
 *
 * @module
 */
import type { IoMemory } from "../guest/io_memory.ts";
import { byteSize } from "../text/number_format.ts";
import { type Access, type BareArrays, bareArrays } from "./access.ts";
import { type Backend, BackendError, checkBackend, failure, memoryOf } from "./backend.ts";
import { checkAccess, fillMemory, type Verdict } from "./check_access.ts";
import type { Case } from "./harness.ts";
import { measureInTurns, type Turns } from "./measure_in_turns.ts";
import { makeRow } from "./row.ts";
import { accesses, boundaryOf, SIZE_UNIT } from "./suite.ts";

/** How backends are measured. */
export interface BenchmarkOptions {
  /** Bytes of each memory: a multiple of 1 MiB. 16 MiB by default. */
  readonly size?: number;
  /** How often each backend takes its turn at each access. 5 by default. */
  readonly rounds?: number;
  /** Milliseconds of a turn. 20 by default. */
  readonly timeMs?: number;
  /** Called before each turn, with what comes next, and how much is done, from 0 to 1. */
  readonly onProgress?: (label: string, share: number) => void;
}

/** What came of one access on one backend. */
export interface BenchmarkRow {
  /** The backend's name. */
  readonly backend: string;
  /** The access, such as `u32 read, random`. */
  readonly access: string;
  /**
   * Whether it was measured. `"unavailable"`: the memory need not have it, as atomics where its
   * bytes are not in host memory, or there is no memory of this kind here. `"wrong"`: it threw, or
   * read or wrote other bytes than it should.
   */
  readonly outcome: "measured" | "unavailable" | "wrong";
  /** Why it was not measured. */
  readonly reason: string | null;
  /** Nanoseconds: the median of the rounds. */
  readonly ns: number | null;
  /** Nanoseconds of a bare typed array, measured in the same rounds. */
  readonly bareNs: number;
  /** `ns / bareNs`. */
  readonly ratio: number | null;
  /** The distance of the quartiles of the rounds' ratios, over their median. */
  readonly spread: number | null;
}

/** Memory that is measured, or why there is none. */
interface Subject {
  readonly name: string;
  readonly memory: IoMemory | undefined;
  readonly boundary: number | undefined;
  readonly verdict: Verdict;
}

/**
 * Measures accesses of each backend's memory, beside the same ones of a bare typed array.
 *
 * Each access of each backend is tried first, and its result is looked at: only right ones are
 * measured. All backends run an access before the first is measured, and take turns then, every
 * second round in reverse. It takes about half a second for an access of ten backends in 1 round.
 *
 * @param backends The backends, each with a name of its own.
 * @param options How they are measured.
 * @returns A row for each access of each backend, by access, in the order of the backends.
 * @throws {BackendError} A backend is none, made no memory, or threw while it was measured.
 * @throws {RangeError} The size is no multiple of 1 MiB.
 *
 * @example A kind of memory beside another
 * ```ts
 * import { benchmark, BUILT_IN } from "@vmm/guest-memory/bench";
 * import { assertEquals } from "@std/assert";
 *
 * const heap = BUILT_IN.filter(({ name }) => name === "heap ArrayBuffer");
 * const rows = await benchmark(heap, { size: 2 ** 20, rounds: 1, timeMs: 1 });
 * assertEquals([rows[0]!.access, rows[0]!.outcome], ["u32 read", "measured"]);
 * ```
 */
export async function benchmark(
  backends: Iterable<Backend>,
  options: BenchmarkOptions = {},
): Promise<BenchmarkRow[]> {
  const { size = 16 * SIZE_UNIT, rounds = 5, timeMs = 20, onProgress = () => {} } = options;
  if (!(size >= SIZE_UNIT && size % SIZE_UNIT === 0)) {
    throw new RangeError(`Cannot measure ${size} bytes: not a multiple of ${byteSize(SIZE_UNIT)}`);
  }
  const subjects = subjectsOf(backends, size);
  const suite = accesses(size);
  const verdicts = suite.map((access) => subjects.map((subject) => tryOut(access, subject, size)));
  const arrays = bareArrays(new ArrayBuffer(size));
  const rows: BenchmarkRow[] = [];
  for (const [i, access] of suite.entries()) {
    const onTurn = (name: string, share: number) =>
      onProgress(`${access.name}: ${name}`, (i + share) / suite.length);
    rows.push(
      ...await measureAccess(access, arrays, subjects, verdicts[i]!, {
        rounds,
        timeMs,
        onTurn,
      }),
    );
  }
  return rows;
}

function subjectsOf(backends: Iterable<Backend>, size: number): Subject[] {
  const subjects: Subject[] = [];
  for (const given of backends) {
    const backend = checkBackend(given, "a value");
    const { name } = backend;
    if (subjects.some((other) => other.name === name)) {
      throw new BackendError(`two backends have the name ${name}`);
    }
    const memory = memoryOf(backend, size);
    subjects.push(
      typeof memory === "string"
        ? {
          name,
          memory: undefined,
          boundary: undefined,
          verdict: { outcome: "unavailable", reason: memory },
        }
        : { name, memory, boundary: boundaryOf(memory, size), verdict: fillMemory(memory, size) },
    );
  }
  return subjects;
}

function tryOut(access: Access, { memory, boundary, verdict }: Subject, size: number): Verdict {
  if (memory === undefined || verdict.outcome !== "right") return verdict;
  const at = access.addresses(boundary);
  if (at !== undefined) return checkAccess(access, memory, at, size);
  return { outcome: "unavailable", reason: "no two of its regions are adjacent" };
}

async function measureAccess(
  access: Access,
  arrays: BareArrays,
  subjects: readonly Subject[],
  verdicts: readonly Verdict[],
  turns: Turns,
): Promise<BenchmarkRow[]> {
  const middle = arrays.u8.length / 2;
  const bare = { name: "bare typed array", run: access.bare(arrays, access.addresses(middle)!) };
  const cases = subjects.map((subject, i) =>
    verdicts[i]!.outcome === "right" ? caseOf(access, subject) : undefined
  );
  const times = await measureInTurns([bare, ...cases.filter((each) => each !== undefined)], turns);
  const bareTimes = { name: bare.name, times: times.get(bare)! };
  const bareNs = makeRow(bareTimes).ns;
  return subjects.map(({ name }, i) => {
    const { outcome, reason } = verdicts[i]!;
    const which = { backend: name, access: access.name };
    if (outcome !== "right") {
      return { ...which, outcome, reason, ns: null, bareNs, ratio: null, spread: null };
    }
    const row = makeRow({ name, times: times.get(cases[i]!)! }, bareTimes);
    const { ns, ratio, spread } = row;
    return { ...which, outcome: "measured", reason: null, ns, bareNs, ratio, spread };
  });
}

function caseOf(access: Access, { name, memory, boundary }: Subject): Case {
  const run = access.through(memory!, access.addresses(boundary)!);
  return {
    name,
    run: (iterations) => {
      try {
        run(iterations);
      } catch (error) {
        throw failure(`${name} failed at ${access.name}, while it was measured`, error);
      }
    },
  };
}
