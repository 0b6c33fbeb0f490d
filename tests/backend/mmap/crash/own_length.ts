// A buffer whose own length, read in the middle of a copy, closes the memory.
import { GuestAddress, GuestMemoryMmap, MemoryClosed } from "../../../../mod.ts";

const outcomes: Record<string, string> = {};
for (const property of ["length", "byteLength"]) {
  for (const access of ["read", "write", "readSlice", "writeSlice"] as const) {
    for (const level of ["map", "region", "slice"]) {
      // Anything may be mapped where memory was: nothing of the library may make mappings meanwhile.
      for (const warm of [true, false]) {
        const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x200000]]);
        const region = memory.findRegion(GuestAddress(0))!;
        const target = { map: memory, region, slice: region.asVolatileSlice() }[level]!;
        const buffer = new Uint8Array(64);
        Object.defineProperty(buffer, property, {
          get() {
            if (!warm) memory.close();
            return 64;
          },
        });
        try {
          target[access](buffer, 0x1000 as never);
          outcomes[`${level}.${access} ${property}`] = "done";
        } catch (error) {
          const closed = error instanceof MemoryClosed;
          outcomes[`${level}.${access} ${property}`] = closed ? "closed" : String(error);
        }
        memory.close();
      }
    }
  }
}
console.log(JSON.stringify(outcomes));
