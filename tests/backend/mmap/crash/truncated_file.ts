import { FileOffset, MmapRegion, u8 } from "../../../../mod.ts";

const path = Deno.makeTempFileSync();
Deno.truncateSync(path, 0x2000);
using file = Deno.openSync(path, { read: true, write: true });
const region = MmapRegion.fromFile(new FileOffset(file), 0x2000);
console.log(region.asVolatileSlice().readObj(u8, 0x1000));
file.truncateSync(0x1000);
Deno.removeSync(path);
console.log(region.asVolatileSlice().readObj(u8, 0));
console.log(region.asVolatileSlice().readObj(u8, 0x1000));
