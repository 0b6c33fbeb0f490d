/**
 * What the program needs of its runtime, be it Deno, Node or Bun.
 *
 * @module
 */
import { closeSync, openSync, statSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

/** The arguments of the program. */
export function programArguments(): string[] {
  return process.argv.slice(2);
}

/** Says how the program ended. */
export function setExitCode(code: number): void {
  process.exitCode = code;
}

/** How wide the terminal is; 80 where the output is none. */
export function terminalColumns(): number {
  return process.stdout.columns || 80;
}

/** Whether there is a file. */
export function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** Imports a module of the user's, which is not known when this package is published. */
export function importFile(path: string): Promise<Record<string, unknown>> {
  return import(pathToFileURL(resolve(path)).href);
}

/**
 * Makes sure that a file can be written, so that nothing is measured in vain.
 *
 * @throws It cannot.
 */
export function ensureWritable(path: string): void {
  closeSync(openSync(path, "a"));
}

/** Writes a file. */
export function writeTextFile(path: string, text: string): void {
  writeFileSync(path, text);
}
