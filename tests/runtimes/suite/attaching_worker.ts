/**
 * Attaches memory that another thread shares, and counts in it.
 *
 * @module
 */
import { GuestAddress, GuestMemoryMmap, u32 } from "@vmm/guest-memory";
import { parentPort } from "node:worker_threads";

type Handle = ReturnType<GuestMemoryMmap["share"]>;

parentPort!.once("message", (handle: Handle) => {
  {
    using memory = GuestMemoryMmap.attach(handle);
    const counter = memory.getAtomicRef(u32, GuestAddress(4096));
    for (let i = 0; i < 1000; i++) counter.fetchAdd(1);
  }
  parentPort!.postMessage("done");
});
