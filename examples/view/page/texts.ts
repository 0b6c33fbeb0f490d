/**
 * Numbers as the page shows them.
 *
 * @module
 */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes in the largest binary unit that they fill. */
export function size(bytes: number): string {
  let unit = 0;
  while (Math.round(bytes * 10) >= 10_240 && unit < UNITS.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${Number.isInteger(bytes) ? bytes : bytes.toFixed(1)} ${UNITS[unit]}`;
}

/** An address, in groups of four digits from the right, such as `0x1_0000_0000`. */
export function address(value: number): string {
  return `0x${value.toString(16).replaceAll(/(?<=.)(?=(?:.{4})+$)/g, "_")}`;
}

/** Whole things. */
export function count(value: number, thing: string): string {
  return `${value.toLocaleString("en-US")} ${thing}${value === 1 ? "" : "s"}`;
}

/** A time. */
export function duration(milliseconds: number): string {
  if (milliseconds >= 60_000) return `${Math.floor(milliseconds / 60_000)} min`;
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}
