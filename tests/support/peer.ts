/**
 * Another thread of a test, which attaches memory and does with it what it is asked to.
 *
 * @module
 */
import {
  type AtomicBitmap,
  Backing,
  FileOffset,
  GuestAddress,
  type GuestMemoryHandle,
  GuestMemoryMmap,
  GuestRegionMmap,
  MmapRegion,
  type MmapRegionHandle,
  NoBitmap,
  type Permissions,
  u32,
  u8,
} from "../../mod.ts";
import { mappingsOf } from "./proc_maps.ts";
import { temporaryFile } from "./temporary_file.ts";

const PAGE = 4096;

/** What the other thread can be asked. */
export type Request =
  | { readonly do: "attach"; readonly memory: GuestMemoryHandle }
  | { readonly do: "attach one"; readonly region: MmapRegionHandle }
  | { readonly do: "read"; readonly address: number }
  | { readonly do: "write"; readonly address: number; readonly value: number }
  | { readonly do: "count"; readonly address: number; readonly times: number }
  | { readonly do: "protect"; readonly protection: Permissions }
  | { readonly do: "describe" }
  | { readonly do: "close" }
  | { readonly do: "forget" }
  | { readonly do: "collect" };

type Answer = { readonly value: unknown } | { readonly error: string };

// This file is the program of the other thread too.
if ("DedicatedWorkerGlobalScope" in globalThis) serve();

function serve(): void {
  const serveOne = server();
  globalThis.addEventListener("message", (event) => {
    const { data } = event as MessageEvent<Request>;
    let answer: Answer;
    try {
      answer = { value: serveOne(data) };
    } catch (error) {
      answer = { error: (error as Error).name };
    }
    (globalThis as unknown as { postMessage(answer: Answer): void }).postMessage(answer);
  });
}

function server(): (request: Request) => unknown {
  let memory: GuestMemoryMmap | undefined;
  return (request) => {
    switch (request.do) {
      case "attach":
        memory = GuestMemoryMmap.attach(request.memory);
        return;
      case "attach one":
        memory = GuestMemoryMmap.fromRegions([
          new GuestRegionMmap(MmapRegion.attach(request.region), GuestAddress(0)),
        ]);
        return;
      case "read":
        return memory!.readObj(u8, GuestAddress(request.address));
      case "write":
        return memory!.writeObj(u8, request.value, GuestAddress(request.address));
      case "count":
        for (let i = 0; i < request.times; i++) {
          memory!.getAtomicRef(u32, GuestAddress(request.address)).fetchAdd(1);
        }
        return;
      case "protect":
        return memory!.findRegion(GuestAddress(0))!.mmap.protect(request.protection);
      case "describe":
        return Array.from(memory!, ({ startAddr, len, mmap, bitmap }) => ({
          startAddr,
          len,
          description: mmap.description,
          flags: mmap.flags,
          protection: mmap.protection,
          owned: mmap.owned,
          hugetlbfs: mmap.isHugetlbfs,
          tracked: bitmap !== NoBitmap,
        }));
      case "close":
        return memory!.close();
      case "forget":
        memory = undefined;
        return;
      case "collect":
        return (globalThis as { gc?: () => void }).gc?.();
    }
  };
}

/** Another thread of this program. */
export class Peer implements Disposable {
  readonly #worker = new Worker(import.meta.url, { type: "module" });

  /** What it answers: the value, or the name of the error. */
  async ask(request: Request): Promise<unknown> {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => resolve(data);
    this.#worker.postMessage(request);
    const answer = await promise;
    return "error" in answer ? answer.error : answer.value;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** A file of two pages whose mappings can be counted. */
export interface Mappable extends Disposable {
  /** Its first byte. */
  readonly file: FileOffset;
  /** Makes a memory of two regions, a page of the file each. */
  memory(bitmap?: (length: number) => AtomicBitmap): GuestMemoryMmap;
  /** Maps the first page. */
  region(): MmapRegion;
  /** How often it is mapped. */
  mapped(): number;
  /** Whether it is mapped. */
  isMapped(): boolean;
}

/** Makes a file whose mappings can be counted. */
export function mappable(): Mappable {
  const file = temporaryFile(2 * PAGE);
  const opened = Deno.openSync(file.path, { read: true, write: true });
  return {
    file: new FileOffset(opened),
    memory: (bitmap?: (length: number) => AtomicBitmap) =>
      GuestMemoryMmap.fromRangesWithFiles([
        [GuestAddress(0), PAGE, new FileOffset(opened)],
        [GuestAddress(8 * PAGE), PAGE, new FileOffset(opened, PAGE)],
      ], bitmap === undefined ? {} : { bitmap }),
    region: () => new MmapRegion(PAGE, { backing: Backing.file(new FileOffset(opened)) }),
    mapped: () => mappingsOf(file.path).length,
    isMapped: () => mappingsOf(file.path).length > 0,
    [Symbol.dispose]() {
      opened.close();
      file[Symbol.dispose]();
    },
  };
}
