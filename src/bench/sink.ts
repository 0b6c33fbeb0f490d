/**
 * Where results go, so that computing them cannot be left out.
 *
 * @module
 */

let sum = 0;
let last: unknown;

/** Uses a number. */
export function consume(value: number): void {
  sum ^= value;
}

/** Uses an object: it has to be made, with all that it contains. */
export function keep(value: unknown): void {
  last = value;
}

/** What all that was used came to. */
export function sunk(): { readonly sum: number; readonly last: string } {
  return { sum, last: typeof last };
}
