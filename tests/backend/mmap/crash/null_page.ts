import { MmapRegion } from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

const MAP_FIXED_NOREPLACE = 0x10_0000;
const outcome = attempt(() => new MmapRegion(0x1000, { flags: MAP_FIXED_NOREPLACE }).close());
const lowest = parseInt(Deno.readTextFileSync("/proc/self/maps"), 16);
console.log(JSON.stringify({ outcome, nullIsMapped: lowest === 0 }));
