import { MmapRegion, u8 } from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

const region = new MmapRegion(0x1000);
const buffer = region.asVolatileSlice().rawView().fill(7).buffer as ArrayBuffer;
const smuggled = new Uint8Array(structuredClone(buffer, { transfer: [buffer] }));
const whileOpen = attempt(() => region.asVolatileSlice().rawView());
const closed = attempt(() => region.close());
const again = attempt(() => region.close());
const access = attempt(() => region.asVolatileSlice().readObj(u8, 0));
smuggled[1] = 8;
console.log(JSON.stringify([whileOpen, closed, again, access, [...smuggled.subarray(0, 3)]]));
