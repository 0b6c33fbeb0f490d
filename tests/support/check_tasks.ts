/**
 * Checks that every task that a text or a workflow names is one of deno.json.
 *
 *     deno run --allow-read tests/support/check_tasks.ts
 *
 * @module
 */
import { lineAt, type Problem, readTree, report, ROOT } from "./tree.ts";

/**
 * The tasks that do not exist.
 *
 * @param files Texts, by path.
 * @param tasks The names of those that do.
 */
export function checkTasks(
  files: ReadonlyMap<string, string>,
  tasks: readonly string[],
): Problem[] {
  const problems: Problem[] = [];
  for (const [file, text] of files) {
    for (const { 1: name, index } of text.matchAll(/\bdeno(?:@[\d.]+)?\s+task\s+([a-z][\w:-]*)/g)) {
      if (tasks.includes(name!)) continue;
      problems.push({ file, line: lineAt(text, index), text: `there is no task ${name}` });
    }
  }
  return problems;
}

if (import.meta.main) {
  // What a release had stays in its changelog.
  const names = (path: string) =>
    /\.(md|ts|yml)$|^\.ci\/run$/.test(path) && path !== "CHANGELOG.md";
  const files = await readTree((path) => names(path) && path !== "tests/check_tasks_test.ts");
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  report(checkTasks(files, Object.keys(tasks)), `the names of tasks in ${files.size} files`);
}
