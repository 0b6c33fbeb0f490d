/**
 * How numbers are shown.
 *
 * @module
 */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/**
 * A number of bytes in the largest binary unit that it fills, such as `27.6 MiB`.
 *
 * @param bytes The number, also one beyond 2^53, as a file may claim it.
 */
export function size(bytes: number | bigint): string {
  let value = Number(bytes);
  let unit = 0;
  // What would be shown as 1024.0 of one unit is 1 of the next.
  while (Math.round(value * 10) >= 10_240 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** An address, such as `0x100000`. */
export function hex(address: number | bigint): string {
  return `0x${address.toString(16)}`;
}

/** The addresses from a start up to the last byte. */
export function range(start: number, length: number): string {
  return `${hex(start)}-${hex(start + length - 1)}`;
}

/** Bytes in hexadecimal, such as `7f 45 4c 46`. */
export function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/** A number with its digits in groups, such as `12,345`. */
export function grouped(number: number): string {
  return number.toLocaleString("en-US");
}

/** A time, such as `63 ms`. */
export function duration(milliseconds: number): string {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(2)} s`;
  return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}

/** A time that may be short, such as `63 µs` or `4.2 ms`. */
export function shortDuration(milliseconds: number): string {
  // What would be shown as 1000 µs is 1.0 ms.
  return Math.round(milliseconds * 1000) < 1000
    ? `${Math.round(milliseconds * 1000)} µs`
    : duration(milliseconds);
}

/** A speed in decimal megabytes, such as `5,012 MB/s`. */
export function speed(bytes: number, milliseconds: number): string {
  const megabytesPerSecond = bytes / 1e6 / (milliseconds / 1e3);
  return `${grouped(Math.round(megabytesPerSecond))} MB/s`;
}

/** A count of things, such as `1 segment` or `4 segments`. */
export function count(number: number, thing: string): string {
  return `${grouped(number)} ${thing}${number === 1 ? "" : "s"}`;
}
