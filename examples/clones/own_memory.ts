/**
 * How much memory of a clone is private, and how much it shares with all others.
 *
 * @module
 */
import type { GuestMemoryMmap } from "@vmm/guest-memory";

/** Bytes of a memory that are in RAM. */
export interface Usage {
  /** Copies that the clone made by writing: nobody else has them. */
  readonly own: number;
  /** Pages of the file that the clone has mapped: there once for all. */
  readonly shared: number;
}

/** A part of the address space, as `/proc/self/smaps` describes it. */
interface Part extends Usage {
  readonly start: number;
  readonly end: number;
}

/** The memory of this process, as it is now. */
export class ProcessMemory {
  readonly #parts: readonly Part[];

  /**
   * Reads what the kernel says.
   *
   * @param text `/proc/self/smaps`.
   */
  constructor(text: string = Deno.readTextFileSync("/proc/self/smaps")) {
    this.#parts = partsOf(text);
  }

  /** What a memory takes. */
  usageOf(memory: GuestMemoryMmap): Usage {
    return this.usageOfRanges(
      memory.describe().map(({ hostAddress, len }) => [hostAddress, hostAddress + len]),
    );
  }

  /** What host addresses take, each from a start up to an end. Nothing else is in their mappings. */
  usageOfRanges(ranges: readonly (readonly [start: number, end: number])[]): Usage {
    const within = this.#parts.filter((part) =>
      ranges.some(([start, end]) => part.start < end && start < part.end)
    );
    return {
      own: within.reduce((sum, { own }) => sum + own, 0),
      shared: within.reduce((sum, { shared }) => sum + shared, 0),
    };
  }
}

// Anonymous is what is no page of a file: the copies. Private_Dirty would not do, as it counts pages
// of the file too, as long as nobody else maps them and the disk does not have them yet.
function partsOf(text: string): Part[] {
  const parts: Part[] = [];
  let [start, end, resident] = [0, 0, 0];
  for (const line of text.split("\n")) {
    const bounds = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (bounds !== null) [start, end] = [parseInt(bounds[1]!, 16), parseInt(bounds[2]!, 16)];
    const [, name, kib] = /^(Rss|Anonymous): +(\d+) kB$/.exec(line) ?? [];
    const bytes = Number(kib) * 1024;
    // Rss comes first.
    if (name === "Rss") resident = bytes;
    else if (name === "Anonymous") parts.push({ start, end, own: bytes, shared: resident - bytes });
  }
  return parts;
}
