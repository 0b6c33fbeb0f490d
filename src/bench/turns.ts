/**
 * Taking turns.
 *
 * @module
 */

/** One of those that take turns. */
export interface Turn<T> {
  /** Who it is. */
  readonly name: string;
  /** Takes the turn. */
  take(): Promise<T>;
}

/**
 * Has everybody take a turn in each round, every second round in reverse order: what changes on a
 * machine while it measures, such as its clock or who else uses it, then changes for all of them.
 *
 * @param rounds How many.
 * @param turns Who takes turns.
 * @param onTurn Called before each turn.
 * @returns What each turn gave, by round, in the order of `turns`.
 */
export async function takeTurns<T>(
  rounds: number,
  turns: readonly Turn<T>[],
  onTurn: (round: number, name: string) => void,
): Promise<T[][]> {
  const results: T[][] = turns.map(() => []);
  for (let round = 0; round < rounds; round++) {
    const order = [...turns.keys()];
    if (round % 2 === 1) order.reverse();
    for (const index of order) {
      onTurn(round, turns[index]!.name);
      results[index]!.push(await turns[index]!.take());
    }
  }
  return results;
}
