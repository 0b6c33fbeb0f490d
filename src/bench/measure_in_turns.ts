/**
 * Measures cases beside each other.
 *
 * @module
 */
import { type Case, measure } from "./harness.ts";
import { takeTurns } from "./turns.ts";

/** Milliseconds that every case runs for before the first is measured. */
const FIRST_MS = 4;

/** How cases are measured. */
export interface Turns {
  /** How often each takes its turn. */
  readonly rounds: number;
  /** Milliseconds that it is measured for in a round. */
  readonly timeMs: number;
  /** Called before each turn, with how much is done, from 0 to 1. */
  readonly onTurn: (name: string, share: number) => void;
}

/**
 * Measures cases in rounds, every second one in reverse, after each of them has run.
 *
 * @param cases The cases.
 * @param turns How.
 * @returns Nanoseconds of an iteration in each round.
 */
export async function measureInTurns(
  cases: Iterable<Case>,
  { rounds, timeMs, onTurn }: Turns,
): Promise<Map<Case, number[]>> {
  const all = [...cases];
  // What V8 compiles for one depends on what the others did: none is to profit from being the first.
  for (const each of all) measure(each, Math.min(FIRST_MS, timeMs));
  const turns = all.map((each) => ({
    name: each.name,
    take: () => Promise.resolve(measure(each, timeMs).median),
  }));
  let taken = 0;
  const results = await takeTurns(rounds, turns, (_, name) => {
    onTurn(name, taken++ / (rounds * turns.length));
  });
  return new Map(all.map((each, i) => [each, results[i]!]));
}
