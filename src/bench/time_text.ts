/** Times, as they are shown. */

/**
 * A time in the unit that suits it.
 *
 * @param ns Nanoseconds.
 */
export function formatTime(ns: number): string {
  // A tenth of a nanosecond is what a quiet machine repeats.
  if (ns < 99.95) return `${ns.toFixed(1)} ns`;
  if (ns < 999.5) return `${ns.toFixed(0)} ns`;
  return ns < 999.5e3 ? `${threeDigits(ns / 1e3)} µs` : `${threeDigits(ns / 1e6)} ms`;
}

function threeDigits(figure: number): string {
  return figure.toFixed(figure < 9.995 ? 2 : figure < 99.95 ? 1 : 0);
}
