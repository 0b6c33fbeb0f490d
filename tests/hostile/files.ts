/** Files that are given to calls: right ones, others, and what is done to them meanwhile. */
import { closeSync, openSync } from "node:fs";
import { Fd, UnixSocket } from "../../mod.ts";
import type { Argument } from "./argument.ts";
import { SIZE } from "./backing.ts";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";

/** What a file is opened for. */
export type Access = "read" | "write" | "both" | "append";

const FLAGS = { read: "r", write: "r+", both: "r+", append: "a+" } as const;
const folder = Deno.makeTempDirSync();
addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
let files = 0;

/** A file of a round. It stays until the round ends. */
export class TestFile {
  readonly path: string = `${folder}/${files++}`;
  readonly #writer: Deno.FsFile;
  readonly #opened: (() => void)[] = [];

  /** @param content What it has: pages of zeros are holes. */
  constructor(world: World, content: Uint8Array) {
    this.#writer = Deno.openSync(this.path, { read: true, write: true, createNew: true });
    this.#writer.truncateSync(content.length);
    for (let at = 0; at < content.length; at += SIZE) {
      const page = content.subarray(at, at + SIZE);
      if (page.every((byte) => byte === 0)) continue;
      this.#writer.seekSync(at, Deno.SeekMode.Start);
      this.#writer.writeSync(page);
    }
    world.made.push(this);
    world.files.push(this);
  }

  /** Opens it: as a file of Deno, or as a descriptor. */
  open(random: Random, access: Access): Deno.FsFile | number {
    if (random.chance(0.5)) {
      const fd = openSync(this.path, FLAGS[access]);
      this.#opened.push(() => closeSync(fd));
      return fd;
    }
    const file = Deno.openSync(this.path, {
      read: access !== "write",
      write: access === "write" || access === "both",
      append: access === "append",
    });
    this.#opened.push(() => file.close());
    return file;
  }

  /** What it has now. */
  get content(): Uint8Array {
    return Deno.readFileSync(this.path);
  }

  /** Changes it while it is used. */
  spoil(random: Random): void {
    const { size } = this.#writer.statSync();
    const length = random.pick([0, 1, SIZE, size - 1, size + 1, size + SIZE, size, size]);
    this.#writer.truncateSync(Math.max(0, length));
    this.#writer.seekSync(random.int(size + 1), Deno.SeekMode.Start);
    if (random.chance(0.5)) this.#writer.writeSync(Uint8Array.of(random.int(256)));
  }

  /** Closes all that was opened, and removes it. */
  close(): void {
    for (const close of this.#opened) close();
    this.#writer.close();
    Deno.removeSync(this.path);
  }
}

let pipe: string | undefined;

function pipeOf(): string {
  if (pipe !== undefined) return pipe;
  pipe = `${folder}/pipe`;
  new Deno.Command("mkfifo", { args: [pipe] }).outputSync();
  return pipe;
}

// A descriptor that is never open.
const NOBODY = 2 ** 31 - 1;

/** What is no file of bytes, or is no longer open. */
export function unusual(world: World, random: Random): Argument {
  const opened = (path: string, flags: string): Argument => {
    const fd = openSync(path, flags);
    world.made.push({ close: () => closeSync(fd) });
    return { value: fd, label: path.startsWith(folder) ? "a pipe or folder" : path };
  };
  return random.pick<() => Argument>([
    () => opened(folder, "r"),
    () => opened("/dev/null", "r+"),
    () => opened("/dev/zero", "r+"),
    () => opened(pipeOf(), "r+"),
    () => opened("/proc/self/maps", "r"),
    () => opened("/proc/self/mem", "r"),
    () => ({ value: NOBODY, label: "2 ** 31 - 1" }),
    () => {
      const file = Deno.openSync("/dev/null");
      file.close();
      return { value: file, label: "a closed file" };
    },
    () => {
      const file = Deno.openSync(folder);
      world.made.push({ close: () => file.close() });
      return { value: file, label: "a folder" };
    },
    () => {
      const sockets = UnixSocket.pair();
      world.made.push(...sockets);
      return { value: sockets[0].fd, label: "a socket" };
    },
    () => ({ value: new Fd(NOBODY), label: "new Fd" }),
  ])();
}

/** A number that may be a descriptor of Deno's own becomes one that is never open. */
export function harmless(argument: Argument): Argument {
  const { value } = argument;
  const isOpen = typeof value === "number" && value >= 0 && value < 2 ** 20;
  return isOpen ? { value: NOBODY, label: "2 ** 31 - 1" } : argument;
}
