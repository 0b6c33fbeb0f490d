/**
 * The program of the example, as other processes.
 *
 * @module
 */
import { pageSize } from "../../../mod.ts";

const PROGRAM = new URL("../../../examples/firecracker_uffd.ts", import.meta.url).href;

/** How a process ended, and what it printed. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process that runs. */
export interface Running extends AsyncDisposable {
  readonly child: Deno.ChildProcess;
  /** Waits until it has printed something, or ended. */
  said(words: string): Promise<void>;
  /** How it ended. */
  readonly ended: Promise<Outcome>;
}

/** Starts the program. Disposing of it kills it. */
export function start(args: readonly string[]): Running {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--no-prompt", "--allow-all", PROGRAM, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const waiting = new Map<string, () => void>();
  let stdout = "";
  const reading = (async () => {
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      stdout += text;
      for (const [words, resolve] of waiting) if (stdout.includes(words)) resolve();
    }
    for (const resolve of waiting.values()) resolve();
    return stdout;
  })();
  const ended = Promise.all([child.status, reading, new Response(child.stderr).text()]).then((
    [{ code }, stdout, stderr],
  ): Outcome => ({ code, stdout, stderr }));
  return {
    child,
    said: (words) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.set(words, resolve);
      if (stdout.includes(words)) resolve();
      return promise;
    },
    ended,
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await ended;
    },
  };
}

/** A folder with a memory file of some pages, which is removed at the end. */
export interface Folder extends Disposable {
  readonly socket: string;
  readonly mem: string;
  /** The options that name both. */
  readonly place: readonly string[];
}

/** Makes such a folder. The first byte of each page is its number's remainder of 251, plus 1. */
export function makeFolder(pages: number): Folder {
  const folder = Deno.makeTempDirSync();
  const [socket, mem] = [`${folder}/socket`, `${folder}/memory`];
  const content = new Uint8Array(pages * pageSize());
  for (let page = 0; page < pages; page++) content[page * pageSize()] = page % 251 + 1;
  Deno.writeFileSync(mem, content);
  return {
    socket,
    mem,
    place: ["--socket", socket, "--mem", mem],
    [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }),
  };
}
