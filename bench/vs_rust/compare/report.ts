/**
 * What the rounds came to.
 *
 * @module
 */
import { BARE_SET } from "../crate/cases.ts";
import { COPY_SIZES, copyName, memcpyName } from "../crate/copies.ts";
import { BY_DESCRIPTOR } from "../crate/virtqueue.ts";
import { BACKENDS } from "../../../src/bench/built_in.ts";
import { parseCaseName } from "./case_name.ts";
import { type Measurements, PeerError } from "./peers.ts";
import { geometricMean, median, spread } from "../../../src/bench/statistics.ts";

/** One case on both sides. Where a side has not measured it, what takes that side is `null`. */
export interface Row {
  /** The crate's name of it. */
  readonly name: string;
  /** Nanoseconds here: the median over the rounds of each round's median. */
  readonly deno: number | null;
  /** Nanoseconds there. */
  readonly rust: number | null;
  /** `deno / rust`: below 1, this side is ahead. */
  readonly ratio: number | null;
  /** How far the rounds' ratios are apart: see {@linkcode spread}. */
  readonly spread: number | null;
}

/** A copy, beside the same by C's memcpy, which is the `rust` of its row. */
export interface CopyRow extends Row {
  /** Nanoseconds here. */
  readonly deno: number;
  /** Which way. */
  readonly direction: "read" | "write";
  /** In what kind of memory. */
  readonly backend: string;
  /** Bytes. */
  readonly size: number;
}

/** Cases that have a mean in common. */
export interface Group {
  /** The cases, in the crate's order. */
  readonly rows: readonly Row[];
  /** The geometric mean of their ratios. */
  readonly geomean: number | null;
  /** The same of the mean times, which include what the medians leave out: garbage collection. */
  readonly geomeanOfMeans: number | null;
}

/** The cases that are a system call, beside C's function for it. */
export interface SystemCalls {
  /** How many threads there were in the process that C was measured in. */
  readonly threads: number;
  /** By the name of a case: nanoseconds in C, and the time here over it. */
  readonly cases: Readonly<Record<string, { readonly c: number; readonly ratio: number }>>;
}

/** What the rounds came to: the cases of the crate's suite, and what is measured beside them. */
export interface Report extends Group {
  /** Requests of a virtqueue, beside `Reader` and `Writer`: no part of the crate's suite. */
  readonly virtqueue: Group;
  /** The same beside Rust that takes descriptor after descriptor, and checks none. */
  readonly byDescriptor: Group;
  /** System calls; `null` without the Rust side, which measures C. */
  readonly systemCalls: SystemCalls | null;
  /** By the name of a case: its time over that of a bare `TypedArray.prototype.set`. */
  readonly set: Readonly<Record<string, number>>;
  /** Copies in each kind of memory. */
  readonly copies: readonly CopyRow[];
  /** What was compared, on what, how and when, in one line. */
  readonly conditions: string;
}

/** What each side measured in each round. */
export interface Rounds {
  readonly deno: readonly Measurements[];
  readonly rust: readonly Measurements[] | undefined;
  readonly denoVirtqueue: readonly Measurements[] | undefined;
  readonly rustVirtqueue: readonly Measurements[] | undefined;
  readonly rustByDescriptor: readonly Measurements[] | undefined;
  /** `read` and `write` of the C library, by the names of the crate's operations. */
  readonly systemCalls: readonly Measurements[] | undefined;
  readonly denoCopies: readonly Measurements[];
  readonly memcpy: readonly Measurements[] | undefined;
}

/**
 * What the rounds came to.
 *
 * @param rounds What was measured.
 * @param conditions On what machine, how and when.
 * @throws {PeerError} The two sides have not measured the same cases of the crate's suite.
 */
export function makeReport(rounds: Rounds, conditions: string): Report {
  const { deno, rust, denoVirtqueue, rustVirtqueue, rustByDescriptor } = rounds;
  const { cases } = deno[0]!;
  const names = Object.keys(cases).filter((name) => !name.startsWith(BARE_SET));
  ensureSameCases(names, rust);
  const programs = [deno, rust, rustVirtqueue].flatMap((rounds) => rounds?.[0]?.by ?? []);
  return {
    ...makeGroup(names, deno, rust),
    virtqueue: makeGroup(
      namesIn(rustVirtqueue, denoVirtqueue).filter((name) => !name.endsWith(BY_DESCRIPTOR)),
      denoVirtqueue,
      rustVirtqueue,
    ),
    byDescriptor: makeGroup(
      namesIn(rustByDescriptor, denoVirtqueue).filter((name) => name.endsWith(BY_DESCRIPTOR)),
      denoVirtqueue,
      rustByDescriptor,
    ),
    systemCalls: makeSystemCalls(names, rounds),
    set: Object.fromEntries(names.flatMap((name) => {
      const bare = BARE_SET + name.split("::")[1];
      if (!(bare in cases)) return [];
      return [[name, median(overRounds(deno, name)) / median(overRounds(deno, bare))]];
    })),
    copies: makeCopyRows(rounds),
    conditions: [...programs, conditions].join(", "),
  };
}

/** The geometric mean of the rows' ratios; `null` where they have none. */
export function geomeanOf(rows: readonly Row[]): number | null {
  const ratios = rows.flatMap(({ ratio }) => ratio ?? []);
  return ratios.length === 0 ? null : geometricMean(ratios);
}

/**
 * How many rows this side is ahead in, or level.
 *
 * @param rows The rows.
 * @param limit The ratio up to which it counts.
 */
export function countAhead(rows: readonly Row[], limit: number = 1): number {
  return rows.filter(({ ratio }) => ratio !== null && ratio <= limit).length;
}

function makeGroup(
  names: readonly string[],
  deno: readonly Measurements[] | undefined,
  rust: readonly Measurements[] | undefined,
): Group {
  const rowsOf = (figure: Figure) =>
    names.map((name) =>
      makeRow(name, ifMeasured(deno, name, figure), ifMeasured(rust, name, figure))
    );
  const rows = rowsOf("median");
  return { rows, geomean: geomeanOf(rows), geomeanOfMeans: geomeanOf(rowsOf("mean")) };
}

function makeSystemCalls(
  names: readonly string[],
  { deno, systemCalls }: Rounds,
): SystemCalls | null {
  if (systemCalls === undefined) return null;
  const { cases, threads = 1 } = systemCalls[0]!;
  return {
    threads,
    cases: Object.fromEntries(names.flatMap((name) => {
      const { operation } = parseCaseName(name);
      if (!(operation in cases)) return [];
      const c = median(overRounds(systemCalls, operation));
      return [[name, { c, ratio: median(overRounds(deno, name)) / c }]];
    })),
  };
}

function makeCopyRows({ denoCopies, memcpy }: Rounds): CopyRow[] {
  return BACKENDS.flatMap(({ name: backend }) =>
    COPY_SIZES.flatMap((size) =>
      (["read", "write"] as const).flatMap((direction): CopyRow[] => {
        const name = copyName(direction, backend, size);
        if (!(name in denoCopies[0]!.cases)) return [];
        const times = overRounds(denoCopies, name);
        const row = makeRow(name, times, memcpy && overRounds(memcpy, memcpyName(size)));
        return [{ ...row, deno: median(times), direction, backend, size }];
      })
    )
  );
}

function makeRow(
  name: string,
  deno: readonly number[] | undefined,
  rust: readonly number[] | undefined,
): Row {
  const times = { deno: deno ? median(deno) : null, rust: rust ? median(rust) : null };
  if (deno === undefined || rust === undefined) {
    return { name, ...times, ratio: null, spread: null };
  }
  const ratios = deno.map((time, round) => time / rust[round]!);
  return { name, ...times, ratio: times.deno! / times.rust!, spread: spread(ratios) };
}

type Figure = "median" | "mean";

function overRounds(
  rounds: readonly Measurements[],
  name: string,
  figure: Figure = "median",
): number[] {
  return rounds.map(({ cases }) => {
    const measurement = cases[name];
    if (measurement === undefined) throw new PeerError(`${name} was not measured in every round`);
    return measurement[figure];
  });
}

function ifMeasured(
  rounds: readonly Measurements[] | undefined,
  name: string,
  figure: Figure,
): number[] | undefined {
  if (rounds === undefined || !namesIn(rounds).includes(name)) return undefined;
  return overRounds(rounds, name, figure);
}

function namesIn(...sides: (readonly Measurements[] | undefined)[]): string[] {
  return [
    ...new Set(sides.flatMap((rounds) => rounds ?? []).flatMap(({ cases }) => Object.keys(cases))),
  ];
}

function ensureSameCases(
  names: readonly string[],
  rust: readonly Measurements[] | undefined,
): void {
  if (rust === undefined) return;
  const others = new Set(Object.keys(rust[0]!.cases));
  const missing = names.filter((name) => !others.delete(name)).concat(...others);
  if (missing.length > 0) {
    throw new PeerError(`only one side has measured ${missing.join(", ")}`);
  }
}
