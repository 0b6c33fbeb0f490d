/**
 * The programs of the README, and what it says that they print.
 *
 * @module
 */

/** A program of the README. */
export interface ReadmeProgram {
  /** The heading above it. */
  readonly heading: string;
  /** Its text. */
  readonly code: string;
  /** What the comments after its `console.log` say, without an explanation after a colon. */
  readonly prints: readonly string[];
}

/** All programs of the README, in order. */
export function readmePrograms(): ReadmeProgram[] {
  const text = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));
  return programsOf(text);
}

/** All programs of a text. */
export function programsOf(markdown: string): ReadmeProgram[] {
  return [...markdown.matchAll(/^```ts\n(.*?)^```$/gms)].map(({ 1: code = "", index }) => ({
    heading: [...markdown.slice(0, index).matchAll(/^#+ (.*)$/gm)].at(-1)?.[1] ?? "",
    code,
    prints: [...code.matchAll(/console\.log\(.*\); \/\/ (.*?)(?:: .*)?$/gm)].map(([, said]) =>
      said!
    ),
  }));
}
