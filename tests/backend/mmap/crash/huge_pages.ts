import { MmapRegion, u8 } from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

const MAP_HUGETLB = 0x4_0000;
// More than the host can have in its pool.
const size = 2 ** 44;
console.log(JSON.stringify(attempt(() => {
  using region = new MmapRegion(size, { flags: MAP_HUGETLB });
  region.asVolatileSlice().writeObj(u8, 7, size - 1);
})));
