import { Backing, MmapRegion, u8 } from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

// More than the host can have in its pool.
const size = 2 ** 44;
console.log(JSON.stringify(attempt(() => {
  const backing = Backing.anonymous({ hugePages: 2 ** 21 });
  using region = new MmapRegion(size, { backing });
  region.asVolatileSlice().writeObj(u8, 7, size - 1);
})));
