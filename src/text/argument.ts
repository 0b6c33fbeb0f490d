/**
 * Arguments of a wrong kind, as errors show them.
 *
 * @module
 */

/**
 * The error for an argument that is no number, or of another kind than TypeScript's types say.
 *
 * @param name The argument's name.
 * @param value What was given. None of its code runs.
 * @param wanted What is needed, such as `"a number"`.
 */
export function wrongKind(name: string, value: unknown, wanted: string): TypeError {
  return new TypeError(`Cannot use ${shown(value)} as ${name}: it must be ${wanted}`);
}

/** A value in a few words, without running any of its code. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "bigint":
      return `${value}n`;
    case "object":
      return value === null ? "null" : "an object";
    case "function":
      return "a function";
    default:
      return String(value);
  }
}

/**
 * Refuses what is not a number, before it is calculated with: a string would be appended to.
 *
 * @returns The number.
 * @throws {TypeError} It is not a number.
 */
export function checkNumber<N extends number>(name: string, value: N): N {
  if (typeof value !== "number") throw wrongKind(name, value, "a number");
  return value;
}

/** {@linkcode checkNumber} for an address. */
export function checkAddress(addr: number): void {
  checkNumber("addr", addr);
}

/**
 * Refuses what is not a number of bytes, or of something else.
 *
 * @throws {TypeError} It is not a number.
 * @throws {RangeError} It is negative, or not an integer.
 */
export function checkCount(count: number, name: string = "count"): void {
  if (Number.isInteger(count) && count >= 0) return;
  checkNumber(name, count);
  throw new RangeError(`Cannot use ${count} as ${name}: it must be an integer from 0`);
}

/**
 * Refuses what is neither a boolean nor left out: text such as `"false"` would count as true.
 *
 * @returns The boolean, or `undefined`.
 * @throws {TypeError} It is something else.
 */
export function checkFlag(name: string, value: boolean | undefined): boolean | undefined {
  if (value === undefined || typeof value === "boolean") return value;
  throw wrongKind(name, value, "a boolean");
}
