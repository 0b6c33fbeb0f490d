/** How numbers are shown to people: in error messages and in `console.log`. */

/** An address or a size in hexadecimal, as `0x1000`. */
export function hex(value: number | bigint): string {
  const digits = value.toString(16);
  return digits.startsWith("-") ? `-0x${digits.slice(1)}` : `0x${digits}`;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A number of bytes in the largest binary unit that it fills, as `1.5 GiB`. */
export function byteSize(bytes: number): string {
  let unit = 0;
  // What would be shown as 1024.0 is shown in the next unit.
  while (bytes >= 1023.95 && unit < UNITS.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${Number.isInteger(bytes) ? bytes : bytes.toFixed(1)} ${UNITS[unit]}`;
}
