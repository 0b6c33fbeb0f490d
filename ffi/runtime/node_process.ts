/**
 * The `process` of Node.js, which Bun has too.
 *
 * @module
 */
import type { ForeignRuntime } from "./foreign_runtime.ts";

/** The part of `process` that is used. */
export interface NodeProcess {
  readonly platform: string;
  readonly arch: string;
  readonly pid: number;
  readonly versions: Readonly<Record<string, string | undefined>>;
  /** A module of the runtime, without loading anything; `undefined` where it has none. */
  getBuiltinModule?(name: string): unknown;
  on(signal: string, listener: () => void): unknown;
  off(signal: string, listener: () => void): unknown;
}

/** The process of this program; `undefined` where the runtime has none, as in a browser. */
export function nodeProcess(): NodeProcess | undefined {
  const { process } = globalThis as { process?: NodeProcess };
  return process?.versions === undefined ? undefined : process;
}

/** What a runtime with such a process knows of the system. */
export function ofProcess(
  process: NodeProcess,
): Pick<ForeignRuntime, "os" | "arch" | "pid" | "addSignalListener" | "removeSignalListener"> {
  return {
    os: process.platform,
    arch: ARCHITECTURES[process.arch] ?? process.arch,
    pid: process.pid,
    addSignalListener(signal, listener) {
      if (!isMainThread(process)) throw new Error("only the main thread gets signals here");
      process.on(signal, listener);
    },
    removeSignalListener: (signal, listener) => void process.off(signal, listener),
  };
}

// A Worker may add a listener, which nothing calls: the signal ends the process then.
function isMainThread(process: NodeProcess): boolean {
  const threads = process.getBuiltinModule!("node:worker_threads") as { isMainThread: boolean };
  return threads.isMainThread;
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };
