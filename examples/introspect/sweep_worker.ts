/**
 * A thread of a sweep.
 *
 * @module
 */
import { GuestMemoryMmap } from "@vmm/guest-memory";
import { ShareSweeper, type SweepRequest } from "./share_sweeper.ts";

const scope = self as unknown as Pick<Worker, "onmessage" | "postMessage"> & { close(): void };
let memory: GuestMemoryMmap | undefined;
let sweeper: ShareSweeper | undefined;

scope.onmessage = ({ data }: MessageEvent<SweepRequest>) => {
  if (data === "end") {
    memory?.close();
    scope.close();
  } else if (typeof data === "object" && "handle" in data) {
    memory = GuestMemoryMmap.attach(data.handle);
    sweeper = new ShareSweeper(memory, data);
  } else {
    const result = data === "resident" ? sweeper!.resident() : sweeper!.sweep(data);
    scope.postMessage(result, [result.buffer]);
  }
};
