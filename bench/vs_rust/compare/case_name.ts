/**
 * What the crate's names of its cases say.
 *
 * @module
 */

/** A name's parts. */
export interface CaseName {
  /** What is done, by its name in Rust. */
  readonly operation: string;
  /** Where in guest memory; `undefined` for a case that is not done at a place. */
  readonly place: string | undefined;
}

// The cases at one boundary begin a few bytes apart, as the ends of their accesses do.
const PLACES: Readonly<Record<string, string>> = {
  "0": "in region 0",
  "7FFFFF": "over regions 0 and 1",
  "37FFFFF": "over regions 6 and 7",
  "3800000": "in region 7",
};

/**
 * Takes a name apart.
 *
 * @param name The name, such as `read_from_0x7FFFFF00` or `VolatileSlice::copy_to_u8`.
 */
export function parseCaseName(name: string): CaseName {
  const [, operation, start] = /^(.*)_0x([0-9A-F]+?)[0-9A-F]{0,2}$/.exec(name) ?? [];
  if (operation === undefined || start === undefined) {
    return { operation: name.replace(/^.*::/, ""), place: undefined };
  }
  return { operation, place: PLACES[start] ?? `at 0x${start}…` };
}
