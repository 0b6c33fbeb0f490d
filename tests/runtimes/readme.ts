/**
 * The first program of the README.
 *
 * @module
 */

/** The text of its first block of TypeScript. */
export async function firstProgram(): Promise<string> {
  const text = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const [, program] = /^```ts\n(.*?)^```$/ms.exec(text) ?? [];
  if (program === undefined) throw new Error("The README has no program");
  return program;
}
