/**
 * Measures cases: warm-up, batches of about 75 us, quartiles. The Rust side of `deno task compare`
 * measures in the same way.
 *
 * What keeps V8 from folding a case away: every result goes into the sink of `sink.ts`; addresses
 * come out of an array that the compiler cannot know; and each case has its own loop, so that
 * nothing is measured with the call of a closure around it.
 *
 * @module
 */

/** Something to measure. */
export interface Case {
  /** What it is. */
  readonly name: string;
  /** Does it so many times. */
  run(iterations: number): void;
}

/** What a case took, in nanoseconds an iteration. */
export interface Measurement {
  /** Over the batches. */
  readonly median: number;
  /** The first quartile. */
  readonly p25: number;
  /** The third quartile. */
  readonly p75: number;
  /** All of the time, garbage collection and interruptions too. */
  readonly mean: number;
  /** Iterations measured in all. */
  readonly iterations: number;
}

/**
 * Long enough that reading the clock twice is under 0.5% of a batch, short enough that a batch hit by
 * an interrupt stays one outlier among many.
 */
const BATCH_NS = 75_000;

/** Quartiles of fewer samples than this say nothing, so slow cases may overrun their time. */
const MIN_SAMPLES = 8;

/** The optimising compiler works in the background, and needs about this long. */
const COMPILE_MS = 100;

/**
 * Measures one case.
 *
 * @param subject The case.
 * @param timeMs How long to measure, after a warm-up.
 */
export function measure(subject: Case, timeMs: number): Measurement {
  // Who measures for a few milliseconds wants to see that it runs, and no figures.
  const estimate = warmUp(subject, Math.max(timeMs / 5, Math.min(2 * timeMs, COMPILE_MS)));
  const batch = Math.max(1, Math.round(BATCH_NS / estimate));
  const samples: number[] = [];
  const end = performance.now() + timeMs;
  do {
    samples.push(timeOf(subject, batch));
  } while (performance.now() < end || samples.length < MIN_SAMPLES);
  samples.sort((a, b) => a - b);
  return {
    median: quantile(samples, 0.5),
    p25: quantile(samples, 0.25),
    p75: quantile(samples, 0.75),
    mean: samples.reduce((sum, sample) => sum + sample, 0) / samples.length,
    iterations: samples.length * batch,
  };
}

/** The value at a fraction of the sorted samples, between neighbours where it falls between them. */
export function quantile(sorted: readonly number[], fraction: number): number {
  const position = fraction * (sorted.length - 1);
  const below = sorted[Math.floor(position)]!;
  const above = sorted[Math.ceil(position)]!;
  return below + (above - below) * (position % 1);
}

// Runs ever larger batches, and returns the cost of an iteration in the last of them: the earlier
// ones pay for page faults, cold caches and interpreted code.
function warmUp(subject: Case, timeMs: number): number {
  const end = performance.now() + timeMs;
  let batch = 1;
  let perIteration: number;
  do {
    perIteration = timeOf(subject, batch);
    if (perIteration * batch < BATCH_NS) batch *= 2;
  } while (performance.now() < end);
  return perIteration;
}

function timeOf(subject: Case, batch: number): number {
  const start = performance.now();
  subject.run(batch);
  return (performance.now() - start) * 1e6 / batch;
}
