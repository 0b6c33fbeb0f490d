/**
 * A thread that counts, and writes pages, in memory that is described to it.
 *
 * @module
 */
import {
  AtomicBitmap,
  GuestAddress,
  GuestMemoryMmap,
  type RegionDescription,
  u32,
  u64,
} from "../../../../mod.ts";

/** What to do. */
export interface Task {
  readonly ram: readonly RegionDescription[];
  readonly log: readonly RegionDescription[];
  /** The descriptors of both, in this process. */
  readonly fds: readonly [ram: number, log: number];
  /** Which thread of all this is. */
  readonly thread: number;
  readonly rounds: number;
}

/** Where the counter is. */
export const COUNTER: GuestAddress = GuestAddress(0);
/** Bytes that a bit of the log stands for. */
export const PAGE = 4096;

const thread = globalThis as unknown as {
  onmessage: (event: MessageEvent<Task>) => void;
  postMessage(pages: number[]): void;
};

thread.onmessage = ({ data: { ram, log, fds, thread: index, rounds } }) => {
  using marks = GuestMemoryMmap.fromDescription(log, [fds[1]]);
  const [{ startAddr, len }] = log as [RegionDescription];
  const slice = marks.getSlice(GuestAddress(startAddr), len);
  using memory = GuestMemoryMmap.fromDescription(ram, [fds[0]], {
    bitmap: (byteSize) => AtomicBitmap.over(slice, { byteSize, pageSize: PAGE, marks: "always" }),
  });
  const counter = memory.getAtomicRef(u32, COUNTER);
  const pages = new Set<number>();
  const [{ len: bytes }] = ram as [RegionDescription];
  for (let i = 0; i < rounds; i++) {
    counter.fetchAdd(1);
    if (i % 64 !== 0) continue;
    const page = 1 + (i * 2654435761 + index * 97) % (bytes / PAGE - 1);
    memory.writeObj(u64, BigInt(page), GuestAddress(page * PAGE + 8 * index));
    pages.add(page);
  }
  thread.postMessage([...pages]);
};

/** Starts threads that count, and collects the pages that they wrote. */
export async function count(
  task: Omit<Task, "thread">,
  threads: readonly number[],
): Promise<number[]> {
  const lists = await Promise.all(threads.map(async (thread) => {
    const worker = new Worker(import.meta.url, { type: "module" });
    try {
      return await new Promise<number[]>((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => reject(new Error(event.message));
        worker.postMessage({ ...task, thread });
      });
    } finally {
      worker.terminate();
    }
  }));
  return [...new Set(lists.flat())];
}
