import { Backing, MmapRegion, u8 } from "../../../../mod.ts";

const path = Deno.makeTempFileSync();
using file = Deno.openSync(path, { read: true, write: true });
file.truncateSync(0x2000);
const region = new MmapRegion(0x2000, {
  backing: Backing.file(file, { private: true }),
  lock: true,
});
const slice = region.asVolatileSlice();
slice.writeObj(u8, 9, 0x1000);
console.log(slice.readObj(u8, 0x1000));
file.truncateSync(0x1000);
Deno.removeSync(path);
console.log(slice.readObj(u8, 0x1000));
