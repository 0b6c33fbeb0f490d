/**
 * Arguments that make no sense.
 *
 * @module
 */

/** The arguments make no sense. */
export class UsageError extends Error {
  override name = "UsageError";
}

/**
 * The count that an option has.
 *
 * @param option Its name.
 * @param text Its value, if it has one.
 * @throws {UsageError} It is no whole number from 1 to a million.
 */
export function countOf(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= 1_000_000) return count;
  throw new UsageError(`${option} needs a whole number from 1, not ${JSON.stringify(text)}`);
}
