/**
 * Leases a file, and says why it cannot.
 *
 * @module
 */
import { Backing, GuestAddress, GuestMemoryMmap, OptionRefused } from "@vmm/guest-memory";
import { parentPort } from "node:worker_threads";

parentPort!.once("message", (fd: number) => {
  const backing = Backing.file(fd, { private: true, lease: () => {} });
  try {
    using _memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 4096]], { backing });
    parentPort!.postMessage("leased");
  } catch (error) {
    parentPort!.postMessage(error instanceof OptionRefused ? error.option : String(error));
  }
});
