import { assertEquals } from "@std/assert";
import { checkExamples } from "./support/check_examples.ts";
import { publicSymbols, readEntries } from "./support/public_symbols.ts";

// Documented by `deno doc`, as a file that exports each kind of symbol.
const SOURCE = `
/** Has one.
 *
 * @example
 * \`\`\`ts
 * \`\`\`
 */
export function good(): void {}
/** Has none. */
export function bad(): void {}
/** Has one at the first of its declarations only.
 *
 * @example
 * \`\`\`ts
 * \`\`\`
 */
export function several(a: string): void;
/** The other. */
export function several(a: number): void;
export function several(): void {}

/** Has none, but its method has. */
export class Bad {
  /** Does it.
   *
   * @example
   * \`\`\`ts
   * \`\`\`
   */
  method(): void {}
}
/** Is no error by its base. */
export class Base extends Error {}
/** Is one by its base's base. */
export class Derived extends Base {
  /** Makes it. */
  constructor(readonly given: string, readonly other = 1, third?: string) {
    super(given + third);
  }
}
/** Needs none. */
export const value: number = 1;
/** Needs none. */
export interface Shape {
  /** A field. */
  field: number;
}
`;

async function symbolsOf(text: string) {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, text);
    return await publicSymbols(new Map([["entry", new URL(`file://${file}`)]]));
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("the example check finds functions and classes without one, but no errors", async () => {
  const symbols = await symbolsOf(SOURCE);
  const found = checkExamples(symbols).map(({ line, text }) => `${line}: ${text}`).sort();
  assertEquals(found, [
    "10: bad of entry has no @example",
    "23: Bad of entry has no @example",
  ]);
  const derived = symbols.find(({ name }) => name === "Derived");
  assertEquals([derived?.extends, derived?.fields], ["Base", ["given", "other"]]);
});

Deno.test("the example check reads every entry of the package", async () => {
  const symbols = await publicSymbols(await readEntries());
  const entries = [...new Set(symbols.map(({ entry }) => entry))];
  assertEquals(entries, [
    "@vmm/guest-memory",
    "@vmm/guest-memory/snapshot",
    "@vmm/guest-memory/virtio",
    "@vmm/guest-memory/bench",
  ]);
  assertEquals(symbols.length > 240, true);
});
