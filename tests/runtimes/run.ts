/**
 * Runs the packed package in every runtime: the suite, and the programs of the README.
 *
 * Run it with `deno task test:runtimes`.
 *
 * @module
 */
import { runInBrowser } from "./browser.ts";
import { output } from "./commands.ts";
import { installPacked } from "./packed.ts";
import { readmePrograms } from "../support/readme_programs.ts";
import { BUN, find, NODE, OLD_NODE, type Runtime } from "./runtimes.ts";

const USAGE = `Usage: deno task test:runtimes

Packs the package as for npm, installs it in an empty folder, compiles it with
TypeScript without Deno's types, and runs the same suite and the README's
programs in Deno, Node.js and Bun, and the part for the heap in Chromium. Runtimes that are not on the PATH
come from npm; those that cannot be had are skipped, with the reason.`;

/** What was found, for the last lines. */
const skipped: string[] = [];
let passed = 0;
let failed = 0;

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(USAGE);
    return 0;
  }
  const folder = await Deno.makeTempDir({ prefix: "guest-memory-runtimes-" });
  try {
    const compiler = await installPacked(folder);
    console.log(line("ok", `${compiler} compiles every entry with --strict, without Deno's types`));
    passed++;
    await runDeno(folder);
    await runOther(folder, NODE, ["--no-warnings"]);
    await runOther(folder, BUN, []);
    await runOldNode(folder);
    for (const isolated of [true, false]) await runPage(folder, isolated);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  for (const reason of skipped) console.log(line("skipped", reason));
  console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`);
  return failed === 0 ? 0 : 1;
}

async function runDeno(folder: string): Promise<void> {
  const deno = { name: `Deno ${Deno.version.deno}`, path: Deno.execPath() };
  await runSuite(deno, ["run", "--quiet", "--allow-all"], "compiled/all.js", folder);
  await runReadme(deno, ["run", "--quiet", "--allow-ffi", "--allow-read", "--allow-write"], folder);
}

async function runOther(folder: string, wanted: typeof NODE, args: string[]): Promise<void> {
  const runtime = await find(wanted, folder);
  if (typeof runtime === "string") {
    skipped.push(runtime);
    return;
  }
  await runSuite(runtime, args, "compiled/all.js", folder);
  await runReadme(runtime, args, folder);
}

async function runOldNode(folder: string): Promise<void> {
  const runtime = await find(OLD_NODE, folder);
  if (typeof runtime === "string") skipped.push(runtime);
  else await runSuite(runtime, [], "compiled/heap.js", folder);
}

async function runPage(folder: string, isolated: boolean): Promise<void> {
  const found = await runInBrowser(folder, "compiled/heap.js", isolated);
  if (typeof found === "string") {
    if (isolated) skipped.push(found);
    return;
  }
  const { name, outcome: { passed, failures } } = found;
  const where = `${name}, ${isolated ? "" : "not "}cross-origin isolated`;
  const text = [...failures, `${passed} passed, ${failures.length} failed`].join("\n");
  judge(where, "the suite for the heap", { code: failures.length, text });
}

async function runSuite(
  { name, path }: Runtime,
  args: readonly string[],
  program: string,
  folder: string,
): Promise<void> {
  const what = program.endsWith("heap.js") ? "the suite for the heap" : "the suite";
  judge(name, what, await output(path, [...args, program], folder));
}

async function runReadme(
  { name, path }: Runtime,
  args: readonly string[],
  folder: string,
): Promise<void> {
  const programs = readmePrograms();
  const problems: string[] = [];
  for (const { heading, code, prints } of programs) {
    await Deno.writeTextFile(`${folder}/main.ts`, code);
    const { code: exitCode, text } = await output(path, [...args, "main.ts"], folder);
    if (exitCode !== 0 || text.trim() !== prints.join("\n")) problems.push(`${heading}: ${text}`);
  }
  const text = [...problems, `${programs.length - problems.length} passed`].join("\n");
  judge(name, "the README's programs", { code: problems.length, text });
}

function judge(where: string, what: string, { code, text }: { code: number; text: string }): void {
  const count = /^\d+ passed/m.exec(text)?.[0];
  const isOk = code === 0 && !/^0 passed/m.test(text);
  if (isOk) passed++;
  else failed++;
  const shown = count === undefined ? what : `${what}, ${count}`;
  console.log(line(isOk ? "ok" : "FAILED", `${where}: ${shown}`));
  if (!isOk) console.log(text);
}

function line(verdict: string, text: string): string {
  return `${verdict.padEnd(8)} ${text}`;
}

Deno.exitCode = await main(Deno.args);
