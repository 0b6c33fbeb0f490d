/** Options whose getters answer differently each time: each is read once. */
import { Backing, FileOffset, GuestAddress, GuestMemoryMmap, MmapRegion } from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

const path = Deno.makeTempFileSync();
Deno.writeFileSync(path, new Uint8Array(0x2000));
using file = Deno.openSync(path, { read: true, write: true });
const counts: Record<string, number> = {};

function changing<T extends object>(first: T, then: Partial<T>): T {
  const target = {} as T;
  for (const key of Object.keys({ ...first, ...then }) as (keyof T & string)[]) {
    Object.defineProperty(target, key, {
      enumerable: true,
      get() {
        counts[key] = (counts[key] ?? 0) + 1;
        return counts[key] === 1 ? first[key] : then[key] ?? first[key];
      },
    });
  }
  return target;
}

const MAP_FIXED = 0x10;
const outcomes: Record<string, unknown> = {};
const options = () =>
  changing(
    { backing: Backing.anonymous(), flags: 0, protection: 3 as const, reserve: false },
    { flags: MAP_FIXED, protection: 0 as never, backing: Backing.foreign(4096n) },
  );
outcomes.region = attempt(() => new MmapRegion(0x1000, options()).close());
const most = () => Math.max(...Object.values(counts));
outcomes.read = [most()];
for (const key in counts) delete counts[key];
outcomes.memory = attempt(() =>
  GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x1000]], options()).close()
);
outcomes.readMemory = most();
// The place in the file changes after the check.
const place = new FileOffset(file, 0x1000);
let asked = 0;
Object.defineProperty(place, "start", { get: () => asked++ === 0 ? 0x1000 : 0x100000 });
outcomes.file = attempt(() => {
  using region = MmapRegion.fromFile(place, 0x1000);
  region.asVolatileSlice().rawView()[0xfff] = 1;
});
// The descriptor is closed, and its number taken by another file, between two mappings.
Deno.removeSync(path);
console.log(JSON.stringify(outcomes));
