import { Backing, GuestAddress, GuestMemoryMmap, MmapRegion } from "../../../../mod.ts";

const SIZE = 2 ** 26;
const outcomes: unknown[] = [];
for (const backing of [Backing.anonymous(), Backing.memfd()]) {
  const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), SIZE]], { backing });
  const view = memory.getSlice(GuestAddress(0), 16).rawView();
  const pending = memory.prefault({ lanes: 4, chunk: 2 ** 20 });
  memory.close();
  // What the kernel maps now must not be where pages are being taken.
  const others = Array.from({ length: 20 }, () => new MmapRegion(SIZE / 4));
  const result = await pending.then(() => "done", (error: Error) => error.name);
  outcomes.push([
    view.length,
    result,
    others.map((other) => other.residentBytes()).every((n) => n === 0),
  ]);
  for (const other of others) other.close();
}
console.log(JSON.stringify(outcomes));
