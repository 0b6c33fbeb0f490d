/**
 * Memories of every kind for tests of snapshots.
 *
 * @module
 */
import {
  Backing,
  type GuestMemory,
  GuestMemoryHeap,
  GuestMemoryMmap,
  type GuestMemoryRegion,
  pageSize,
} from "../../mod.ts";
import { open } from "../support/posix.ts";
import { gpa } from "../support/values.ts";

/** The kinds. */
export const KINDS = [
  "anonymous",
  "anonymous, shared",
  "memfd",
  "shared file",
  "private file",
  "heap",
] as const;
/** One of them. */
export type Kind = (typeof KINDS)[number];

/** Bytes of a page, also where the tests are ignored. */
export const PAGE: number = Deno.build.os === "linux" ? pageSize() : 4096;

/** A range in bytes. */
export type Range = readonly [start: number, length: number];

/** A memory whose bytes are all zero, without storage where its kind allows that. */
export function memoryOf(kind: Kind, ranges: readonly Range[]): GuestMemory & Disposable {
  const all = ranges.map(([start, length]) => [gpa(start), length] as const);
  switch (kind) {
    case "heap":
      return GuestMemoryHeap.fromRanges(all);
    case "anonymous":
      return GuestMemoryMmap.fromRanges(all);
    case "anonymous, shared":
      return GuestMemoryMmap.fromRanges(all, { backing: Backing.anonymous({ shared: true }) });
    case "memfd":
      return GuestMemoryMmap.fromRanges(all, { backing: Backing.memfd() });
    default: {
      using file = scratchFile();
      const pages = ranges.map(([, length]) => Math.ceil(length / PAGE) * PAGE);
      Deno.truncateSync(file.path, pages.reduce((sum, length) => sum + length, 0));
      return GuestMemoryMmap.fromRanges(all, {
        backing: Backing.file(file.fd, { private: kind === "private file" }),
      });
    }
  }
}

/** A file that is open to read and write. */
export interface ScratchFile extends Disposable {
  readonly fd: number;
  readonly path: string;
  /** Bytes that are stored. */
  readonly stored: number;
  /** What is in it. */
  readonly content: Uint8Array;
}

/** Makes an empty file, which is removed at the end. */
export function scratchFile(folder?: string): ScratchFile {
  const path = Deno.makeTempFileSync(folder === undefined ? {} : { dir: folder });
  const opened = open(path, "r+");
  const { fd } = opened;
  return {
    fd,
    path,
    get stored() {
      // File systems allocate late.
      using file = Deno.openSync(path);
      file.syncSync();
      return file.statSync().blocks! * 512;
    },
    get content() {
      return Deno.readFileSync(path);
    },
    [Symbol.dispose]() {
      opened[Symbol.dispose]();
      Deno.removeSync(path);
    },
  };
}

/** All bytes of a memory, in the flat layout: page by page, as slowly as possible. */
export function naiveBytes(memory: Iterable<GuestMemoryRegion>): Uint8Array {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (const region of memory) {
    const start = Math.ceil(length / PAGE) * PAGE;
    parts.push(new Uint8Array(start - length));
    const bytes = new Uint8Array(region.len);
    region.readSlice(bytes, 0 as never);
    parts.push(bytes);
    length = start + region.len;
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A file system that is unmounted at the end. */
export interface Disk extends Disposable {
  /** Where it is mounted. */
  readonly path: string;
}

/** Mounts a file system in memory that has few bytes: for root only. */
export function smallDisk(bytes: number): Disk {
  return mount("tmpfs", `size=${bytes}`);
}

/** Mounts a file system in memory that does not know its holes: for root only. */
export function diskWithoutHoles(): Disk {
  return mount("ramfs", "mode=700");
}

/** Why this process cannot mount anything; `undefined` where it can. */
export const whyNoMount: string | undefined = (() => {
  if (Deno.build.os !== "linux") return "needs Linux";
  if (Deno.uid() !== 0) return "not root";
  try {
    smallDisk(4096)[Symbol.dispose]();
    return undefined;
  } catch (error) {
    return (error as Error).message.trim();
  }
})();

/** A test that mounts file systems: ignored, and its name says why, where it cannot. */
export function mountTest(name: string, fn: () => Promise<void>): void {
  testUnless(whyNoMount, name, fn);
}

/** A test that has mounts of its own (`unshare(1)`): ignored, and its name says why, where it cannot. */
export function ownMountsTest(name: string, fn: () => Promise<void>): void {
  testUnless(whyNoMount ?? whyNoOwnMounts(), name, fn);
}

// As in a chroot, whose root is no mount.
function whyNoOwnMounts(): string | undefined {
  const { success, stderr } = new Deno.Command("unshare", { args: ["--mount", "true"] })
    .outputSync();
  return success ? undefined : new TextDecoder().decode(stderr).trim();
}

function testUnless(reason: string | undefined, name: string, fn: () => Promise<void>): void {
  const ignore = reason !== undefined;
  Deno.test({ name: ignore ? `${name} (ignored: ${reason})` : name, ignore, fn });
}

function mount(type: string, options: string): Disk {
  const path = Deno.makeTempDirSync();
  const run = (command: string, ...args: string[]) => {
    const { success, stderr } = new Deno.Command(command, { args }).outputSync();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  };
  run("mount", "-t", type, "-o", options, type, path);
  return {
    path,
    [Symbol.dispose]() {
      run("umount", "--lazy", path);
      Deno.removeSync(path);
    },
  };
}
