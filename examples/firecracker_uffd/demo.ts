/**
 * The demonstration: a VMM whose handler is killed in the middle.
 *
 * @module
 */
import { GuestAddress, GuestMemoryMmap, pageSize } from "@vmm/guest-memory";
import { writeSnapshot } from "@vmm/guest-memory/snapshot";
import { size as sizeText } from "../lib/units.ts";
import { UffdError } from "./uffd_error.ts";

const PROGRAM = new URL("../firecracker_uffd.ts", import.meta.url).href;

/**
 * Runs both sides as processes.
 *
 * @param size Bytes of the snapshot.
 * @returns Whether the VMM found all pages right.
 */
export async function runDemo(size: number): Promise<boolean> {
  await using resources = new AsyncDisposableStack();
  const folder = Deno.makeTempDirSync({ prefix: "firecracker-uffd-" });
  resources.defer(() => Deno.removeSync(folder, { recursive: true }));
  const place = ["--socket", `${folder}/uffd.socket`, "--mem", `${folder}/memory`];
  await makeSnapshot(`${folder}/memory`, size);
  console.log(`a snapshot of ${sizeText(size)}, of which each fourth page is a hole`);

  const first = resources.use(new Side("handler 1", ["serve", "--no-prefetch", ...place]));
  await first.said("listening");
  const vmm = resources.use(new Side("vmm      ", ["vmm", ...place]));
  await vmm.said("% of the pages touched");
  console.log("kill -9 handler 1");
  await first.kill();
  // The socket's file is still there.
  Deno.removeSync(`${folder}/uffd.socket`);
  const second = resources.use(new Side("handler 2", ["serve", "--once", ...place]));
  const isRight = (await vmm.ended()).success;
  await second.ended();
  return isRight;
}

async function makeSnapshot(path: string, size: number): Promise<void> {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), size]]);
  const content = new Uint8Array(pageSize());
  for (let at = 0; at < size; at += pageSize()) {
    if (at / pageSize() % 4 === 3) continue;
    crypto.getRandomValues(content);
    memory.writeSlice(content, GuestAddress(at));
  }
  using file = Deno.openSync(path, { write: true, createNew: true });
  await writeSnapshot(memory, file);
}

// A process of this program, whose lines are printed with its name.
class Side implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #printing: Promise<void>;
  readonly #waiting = new Map<string, () => void>();
  #output = "";

  constructor(readonly name: string, args: readonly string[]) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--allow-all", PROGRAM, ...args],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    this.#printing = this.#print();
  }

  async #print(): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) console.log(`${this.name}  ${line}`);
      this.#output += text;
      for (const [words, resolve] of this.#waiting) if (this.#output.includes(words)) resolve();
    }
    // Nobody waits for what cannot come.
    for (const resolve of this.#waiting.values()) resolve();
  }

  async said(words: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#output.includes(words)) resolve();
    this.#waiting.set(words, resolve);
    await promise;
    if (this.#output.includes(words)) return;
    throw new UffdError(`the ${this.name.trim()} ended before it was ready`);
  }

  async ended(): Promise<Deno.CommandStatus> {
    await this.#printing;
    return await this.#child.status;
  }

  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
