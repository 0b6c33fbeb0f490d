/**
 * The cases of the suite that every runtime passes, and how they are run. It uses nothing of a
 * runtime but the language.
 *
 * @module
 */

/** One thing that is shown to work. */
export interface Case {
  /** What works, in a sentence. */
  readonly name: string;
  /** Throws if it does not. */
  run(): void | Promise<void>;
}

/** What a run of cases found. */
export interface Outcome {
  /** How many passed. */
  readonly passed: number;
  /** A line for each that failed. */
  readonly failures: readonly string[];
}

/** Runs cases, one after the other. */
export async function runCases(cases: readonly Case[]): Promise<Outcome> {
  const failures: string[] = [];
  for (const { name, run } of cases) {
    try {
      await run();
    } catch (error) {
      const { stack = "" } = error as Error;
      failures.push(`${name}: ${error}\n${stack}`);
    }
  }
  return { passed: cases.length - failures.length, failures };
}

/** Throws unless two values are the same as text: of numbers, bigints, strings and arrays of them. */
export function same(actual: unknown, expected: unknown): void {
  const [found, wanted] = [actual, expected].map(asText);
  if (found !== wanted) throw new Error(`found ${found}, expected ${wanted}`);
}

function asText(value: unknown): string {
  if (ArrayBuffer.isView(value)) return asText([...value as Uint8Array]);
  return JSON.stringify(
    value,
    (_, item) => typeof item === "bigint" ? `${item}n` : item === undefined ? "undefined" : item,
  );
}

/**
 * Throws unless a function throws an error of a class.
 *
 * @returns The error.
 */
export function throwing<E extends Error>(
  kind: abstract new (...args: never[]) => E,
  run: () => unknown,
): E {
  try {
    run();
  } catch (error) {
    if (error instanceof kind) return error;
    throw new Error(`expected ${kind.name}, found ${error}`, { cause: error });
  }
  throw new Error(`expected ${kind.name}, nothing was thrown`);
}
