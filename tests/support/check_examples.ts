/**
 * Checks that every function and class that an entry of the package exports has an example. Classes of
 * errors have none: the library makes them, and docs/errors.md is about them.
 *
 *     deno run --allow-read --allow-run tests/support/check_examples.ts
 *
 * @module
 */
import { type PublicSymbol, publicSymbols, readEntries } from "./public_symbols.ts";
import { type Problem, report } from "./tree.ts";

/**
 * The functions and classes without an example.
 *
 * @param symbols What the entries export.
 */
export function checkExamples(symbols: readonly PublicSymbol[]): Problem[] {
  const classes = new Map(symbols.map((symbol) => [symbol.name, symbol]));
  const isError = (name: string | undefined): boolean =>
    name === "Error" || name !== undefined && isError(classes.get(name)?.extends);
  return symbols.filter(({ kinds, hasExample, name }) =>
    !hasExample && !isError(name) && kinds.some((kind) => kind === "class" || kind === "function")
  ).map(({ entry, name, file, line }) => ({
    file,
    line,
    text: `${name} of ${entry} has no @example`,
  }));
}

if (import.meta.main) {
  const symbols = await publicSymbols(await readEntries());
  report(checkExamples(symbols), `the examples of ${symbols.length} symbols`);
}
