/**
 * The files of this tree, for checks.
 *
 * @module
 */

/** The root of the tree, which ends with a slash. */
export const ROOT: URL = new URL("../../", import.meta.url);

// What tools make, and data.
const SKIPPED = [".git", "node_modules", "target", "coverage", "results", "traces"];

/**
 * The text of every file that a name is chosen by.
 *
 * @param isChosen Whether to read a file, by its path from the root.
 * @returns Texts by paths, such as `docs/errors.md`, in alphabetical order.
 */
export async function readTree(
  isChosen: (path: string) => boolean,
): Promise<Map<string, string>> {
  const paths: string[] = [];
  const walk = async (folder: string) => {
    for await (const { name, isDirectory, isFile } of Deno.readDir(new URL(folder || ".", ROOT))) {
      if (SKIPPED.includes(name)) continue;
      if (isDirectory) await walk(`${folder}${name}/`);
      else if (isFile && isChosen(folder + name)) paths.push(folder + name);
    }
  };
  await walk("");
  const texts = await Promise.all(paths.map((path) => Deno.readTextFile(new URL(path, ROOT))));
  return new Map(
    paths.map((path, i) => [path, texts[i]!] as const).sort(([a], [b]) => a < b ? -1 : 1),
  );
}

/** Something wrong with a file. */
export interface Problem {
  /** Its path from the root. */
  readonly file: string;
  /** The line. */
  readonly line: number;
  /** What is wrong. */
  readonly text: string;
}

/**
 * Prints what a check found, and ends the program with an error if there is anything.
 *
 * @param problems What is wrong.
 * @param checked What was checked, for people.
 */
export function report(problems: readonly Problem[], checked: string): void {
  for (const { file, line, text } of problems) console.error(`${file}:${line}: ${text}`);
  if (problems.length > 0) Deno.exit(1);
  console.log(`Checked ${checked}`);
}

/** The number of the line that a place in a text is in. */
export function lineAt(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}
