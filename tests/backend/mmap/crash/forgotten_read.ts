import { MmapRegion } from "../../../../mod.ts";

const { gc } = globalThis as { gc?: () => void };

// The argument is a named pipe: a read waits until something is written.
const path = Deno.args[0]!;
using pipe = Deno.openSync(path, { read: true, write: true });
const reading = pipe.read(new MmapRegion(0x10_0000).asVolatileSlice().rawView());
for (let round = 0; round < 50; round++) {
  gc?.();
  await new Promise((resolve) => setTimeout(resolve, 2));
}
pipe.writeSync(new Uint8Array(100));
console.log(await reading);
