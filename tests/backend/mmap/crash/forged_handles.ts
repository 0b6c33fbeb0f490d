import { Backing, GuestAddress, GuestMemoryMmap, MmapRegion, u8 } from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const owner = new MmapRegion(0x1000);
owner.asVolatileSlice().writeObj(u8, 7, 0);
const outcomes: Record<string, unknown> = {};
const tried: string[] = [];

function attach(handle: unknown): string {
  return attempt(() => {
    using region = MmapRegion.attach(handle as never);
    region.asVolatileSlice().writeObj(u8, 9, 0);
  });
}

// Text that was changed in one place, each in turn.
{
  const { mapping, ...rest } = owner.share();
  const { text } = mapping;
  const results = new Set<string>();
  for (let i = 0; i < text.length; i++) {
    const changed = `${text.slice(0, i)}${text[i] === "0" ? "1" : "0"}${text.slice(i + 1)}`;
    if (changed !== text) results.add(attach({ ...rest, mapping: { ...mapping, text: changed } }));
  }
  outcomes.altered = [...results];
  outcomes.seal = attach({ ...rest, mapping: { ...mapping, seal: "0".repeat(16) } });
  outcomes.word = attach({ ...rest, mapping: { ...mapping, word: mapping.word + 1 } });
  outcomes.value = attach({ ...rest, mapping: { ...mapping, value: 0 } });
  outcomes.genuine = attach({ ...rest, mapping });
  outcomes.used = attach({ ...rest, mapping });
  for (const nothing of [undefined, null, 1, "", {}, [], { mapping: 1 }, { mapping: {} }]) {
    tried.push(attach(nothing));
  }
}
// A handle that was stored while the memory was closed, and other memory mapped in its place.
{
  const other = new MmapRegion(0x1000);
  const handle = other.share();
  using attached = MmapRegion.attach(handle);
  other.close();
  attached.close();
  using _next = new MmapRegion(0x1000);
  outcomes.stored = attach(handle);
}
// What was stored as text is no handle any more.
{
  const handle = owner.share();
  outcomes.json = [attach(JSON.parse(JSON.stringify(handle))), attach(handle)];
}
// Nothing of a handle is a place where the counts of the mapping could be changed.
outcomes.buffers = Object.values(owner.share().mapping)
  .flatMap((value) => value instanceof SharedArrayBuffer ? [value.byteLength] : []);
// Getters that answer differently each time.
{
  const { mapping, ...rest } = owner.share();
  let asked = 0;
  const lying: Writable<typeof mapping> = { ...mapping };
  Object.defineProperty(lying, "text", {
    get: () => asked++ === 0 ? mapping.text : mapping.text.replace(/\d+/, "4096"),
  });
  outcomes.getter = attach({ ...rest, mapping: lying });
}
// Counts of a descriptor that are somebody else's.
{
  const memfd = new MmapRegion(0x1000, { backing: Backing.memfd() });
  const { mapping, ...rest } = memfd.share();
  const references = new SharedArrayBuffer(4);
  new Int32Array(references)[0] = 1;
  outcomes.copiedReferences = attach({ ...rest, mapping: { ...mapping, references } });
  memfd.close();
}
// A handle of a whole memory of which one part is wrong: nothing stays held.
{
  const memory = GuestMemoryMmap.fromRanges(
    [0, 1, 2].map((i) => [GuestAddress(i * 2 ** 21), 2 ** 21]),
  );
  const handle = [...memory.share()];
  handle[1] = { ...handle[1]!, mapping: { ...handle[1]!.mapping, bitmap: 7 as never } };
  outcomes.partly = attempt(() => GuestMemoryMmap.attach(handle));
  const [first] = memory;
  outcomes.narrowed = attempt(() => {
    for (const { mmap } of memory) mmap.protect(1);
  });
  outcomes.first = first!.mmap.closed;
  memory.close();
}
outcomes.byte = owner.asVolatileSlice().readObj(u8, 0);
outcomes.nothing = [...new Set(tried)];
console.log(JSON.stringify(outcomes));
