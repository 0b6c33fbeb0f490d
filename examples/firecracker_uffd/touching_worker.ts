/// <reference lib="webworker" />
/**
 * A thread of the VMM, in place of a virtual CPU: touches pages, and compares them with the file.
 *
 * @module
 */
import { GuestAddress, type GuestMemoryHandle, GuestMemoryMmap, pageSize } from "@vmm/guest-memory";
import { createHash } from "node:crypto";

/** What it touches. */
export interface TouchRequest {
  readonly memory: GuestMemoryHandle;
  /** The memory file. */
  readonly mem: string;
  /** Pages in the order in which to touch them: where each begins in the guest and in the file. */
  readonly pages: readonly (readonly [address: number, position: number])[];
  /** A counter of touched pages. */
  readonly touched: Int32Array;
}

/** What it found. */
export interface TouchReport {
  /** Microseconds that each touch took. */
  readonly times: Float64Array;
  /** The SHA-256 of the pages, in their order. */
  readonly found: string;
  /** That of the same pages of the file. */
  readonly expected: string;
}

self.onmessage = ({ data }: MessageEvent<TouchRequest>) => {
  const report = touch(data);
  self.postMessage(report);
  self.close();
};

function touch({ memory: handle, mem, pages, touched }: TouchRequest): TouchReport {
  using memory = GuestMemoryMmap.attach(handle);
  const times = new Float64Array(pages.length);
  const page = new Uint8Array(pageSize());
  const found = createHash("sha256");
  for (const [index, [address]] of pages.entries()) {
    const start = performance.now();
    memory.readSlice(page, GuestAddress(address));
    times[index] = (performance.now() - start) * 1000;
    found.update(page);
    Atomics.add(touched, 0, 1);
  }
  using file = Deno.openSync(mem);
  const expected = createHash("sha256");
  for (const [, position] of pages) {
    file.seekSync(position, Deno.SeekMode.Start);
    for (let done = 0; done < page.length;) {
      const count = file.readSync(page.subarray(done));
      if (count === null) throw new Error(`${mem} was cut off`);
      done += count;
    }
    expected.update(page);
  }
  return { times, found: found.digest("hex"), expected: expected.digest("hex") };
}
