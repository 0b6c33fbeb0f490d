import { Backing, MmapRegion, u8 } from "../../../../mod.ts";

const path = Deno.makeTempFileSync();
Deno.writeFileSync(path, new Uint8Array(0x4000).fill(7));
const order: string[] = [];
let copied = 0;
using reader = Deno.openSync(path);
const backing = Backing.file(reader, {
  private: true,
  async lease() {
    order.push("asked");
    await new Promise((resolve) => setTimeout(resolve, 200));
    copied = region.asVolatileSlice().readObj(u8, 0x3fff);
    order.push("copied");
    region.close();
  },
});
const region = new MmapRegion(0x4000, { backing });
// Opens with O_NONBLOCK.
const refused = new Deno.Command("truncate", { args: ["-s", "0", path], stderr: "null" });
const nonBlocking = (await refused.output()).success;
await new Promise((resolve) => setTimeout(resolve, 300));
order.length = 0;
// The first lease is over, as somebody asked for the file.
const again = new MmapRegion(0x4000, {
  backing: Backing.file(reader, {
    private: true,
    async lease() {
      order.push("asked");
      await new Promise((resolve) => setTimeout(resolve, 200));
      copied = again.asVolatileSlice().readObj(u8, 0x3fff);
      order.push("copied");
    },
  }),
});
const { success } = await new Deno.Command("sh", { args: ["-c", `: > ${path}`] }).output();
order.push(success ? "truncated" : "failed");
console.log(JSON.stringify({ order, copied, size: Deno.statSync(path).size, nonBlocking }));
Deno.removeSync(path);
