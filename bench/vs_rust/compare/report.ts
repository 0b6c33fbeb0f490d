/**
 * What the rounds came to.
 *
 * @module
 */
import { BARE_SET } from "../crate/cases.ts";
import { COPY_SIZES, copyName, memcpyName } from "../crate/copies.ts";
import { BACKENDS } from "../../backends.ts";
import { type Measurements, PeerError } from "./peers.ts";
import { geometricMean, median, spread } from "./statistics.ts";

/** One case on both sides. Without the Rust side, what takes it is `null`. */
export interface Row {
  /** The crate's name of it. */
  readonly name: string;
  /** Nanoseconds here: the median over the rounds of each round's median. */
  readonly deno: number;
  /** Nanoseconds there. */
  readonly rust: number | null;
  /** `deno / rust`: below 1, this side is ahead. */
  readonly ratio: number | null;
  /** How far the rounds' ratios are apart: see {@linkcode spread}. */
  readonly spread: number | null;
}

/** A copy, beside the same by C's memcpy, which is the `rust` of its row. */
export interface CopyRow extends Row {
  /** Which way. */
  readonly direction: "read" | "write";
  /** In what kind of memory. */
  readonly backend: string;
  /** Bytes. */
  readonly size: number;
}

/** What the rounds came to. */
export interface Report {
  /** The crate's cases, in its order. */
  readonly rows: readonly Row[];
  /** The geometric mean of their ratios. */
  readonly geomean: number | null;
  /** The same of the mean times, which include what the medians leave out: garbage collection. */
  readonly geomeanOfMeans: number | null;
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
  readonly denoCopies: readonly Measurements[];
  readonly memcpy: readonly Measurements[] | undefined;
}

/**
 * What the rounds came to.
 *
 * @param rounds What was measured.
 * @param conditions On what machine, how and when.
 * @throws {PeerError} The two sides have not measured the same cases.
 */
export function makeReport(rounds: Rounds, conditions: string): Report {
  const { by, cases } = rounds.deno[0]!;
  const names = Object.keys(cases).filter((name) => !name.startsWith(BARE_SET));
  demandSameCases(names, rounds.rust);
  const rows = names.map((name) => makeRow(name, rounds.deno, rounds.rust));
  return {
    rows,
    geomean: geomeanOf(rows),
    geomeanOfMeans: geomeanOf(names.map((name) => makeRow(name, rounds.deno, rounds.rust, "mean"))),
    set: Object.fromEntries(names.flatMap((name) => {
      const bare = BARE_SET + name.split("::")[1];
      if (!(bare in cases)) return [];
      return [[
        name,
        median(overRounds(rounds.deno, name)) / median(overRounds(rounds.deno, bare)),
      ]];
    })),
    copies: makeCopyRows(rounds),
    conditions: [by, ...(rounds.rust?.slice(0, 1) ?? []).map((rust) => rust.by), conditions]
      .join(", "),
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

function makeCopyRows({ denoCopies, memcpy }: Rounds): CopyRow[] {
  return BACKENDS.flatMap(({ name: backend }) =>
    COPY_SIZES.flatMap((size) =>
      (["read", "write"] as const).flatMap((direction): CopyRow[] => {
        const name = copyName(direction, backend, size);
        if (!(name in denoCopies[0]!.cases)) return [];
        const row = makeRow(name, denoCopies, memcpy, "median", memcpyName(size));
        return [{ ...row, direction, backend, size }];
      })
    )
  );
}

function makeRow(
  name: string,
  denoRounds: readonly Measurements[],
  rustRounds: readonly Measurements[] | undefined,
  figure: "median" | "mean" = "median",
  rustName: string = name,
): Row {
  const denoTimes = overRounds(denoRounds, name, figure);
  const deno = median(denoTimes);
  if (rustRounds === undefined) return { name, deno, rust: null, ratio: null, spread: null };
  const rustTimes = overRounds(rustRounds, rustName, figure);
  const rust = median(rustTimes);
  const ratios = denoTimes.map((time, round) => time / rustTimes[round]!);
  return { name, deno, rust, ratio: deno / rust, spread: spread(ratios) };
}

function overRounds(
  rounds: readonly Measurements[],
  name: string,
  figure: "median" | "mean" = "median",
): number[] {
  return rounds.map(({ cases }) => {
    const measurement = cases[name];
    if (measurement === undefined) throw new PeerError(`${name} was not measured in every round`);
    return measurement[figure];
  });
}

function demandSameCases(
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
