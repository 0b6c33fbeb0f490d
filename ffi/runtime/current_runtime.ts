/**
 * Which runtime this is.
 *
 * @module
 */
import { bunRuntime } from "./bun.ts";
import { denoRuntime } from "./deno.ts";
import type { ForeignRuntime } from "./foreign_runtime.ts";
import { nodeRuntime } from "./node.ts";
import { nodeProcess } from "./node_process.ts";

/** This runtime; `undefined` where it cannot call C. */
export function currentRuntime(): ForeignRuntime | undefined {
  if (typeof Deno !== "undefined") return denoRuntime();
  const process = nodeProcess();
  if (process === undefined) return undefined;
  return process.versions["bun"] === undefined ? nodeRuntime(process) : bunRuntime(process);
}

/** What this runtime is, for people. */
export function runtimeName(): string {
  if (typeof Deno !== "undefined") return `Deno ${Deno.version.deno}`;
  const versions = nodeProcess()?.versions;
  if (versions?.["bun"] !== undefined) return `Bun ${versions["bun"]}`;
  return versions?.["node"] === undefined ? "another runtime" : `Node.js ${versions["node"]}`;
}
