/// <reference lib="webworker" />
import { GuestAddress, GuestMemoryMmap, Permissions } from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

self.onmessage = ({ data: { handle, arrived, protection, pause } }) => {
  using memory = GuestMemoryMmap.attach(handle);
  const { mmap } = memory.findRegion(GuestAddress(0))!;
  // Both begin at the same time, but for a pause.
  Atomics.add(arrived, 0, 1);
  while (Atomics.load(arrived, 0) < 2);
  for (let i = 0; i < pause; i++);
  const outcome = attempt(() => mmap.protect(protection));
  if (protection === Permissions.ReadWrite) {
    const view = mmap.asVolatileSlice().rawView();
    for (let i = 0; i < 50_000; i++) view[i & 0xfff] = i;
  }
  self.postMessage(outcome);
};
self.postMessage("ready");
