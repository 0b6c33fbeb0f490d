import { MmapRegion } from "../../../../mod.ts";

// The argument is a named pipe: a read waits until something is written.
const path = Deno.args[0]!;
using pipe = Deno.openSync(path, { read: true, write: true });
const region = new MmapRegion(0x10_0000);
const reading = pipe.read(region.asVolatileSlice().rawView()).then(
  () => "completed",
  (error: Error) => `refused: ${error.message}`,
);
// Long enough for the read to be waiting in the kernel; the ending is the same if it is not.
await new Promise((resolve) => setTimeout(resolve, 100));
region.close();
pipe.writeSync(new Uint8Array(100));
console.log(await reading);
