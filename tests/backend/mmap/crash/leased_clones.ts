import { Backing, GuestAddress, GuestMemoryMmap } from "../../../../mod.ts";

const path = Deno.makeTempFileSync();
Deno.writeFileSync(path, new Uint8Array(0x4000).fill(7));
using reader = Deno.openSync(path);
const asked: string[] = [];
let done = 0;

const clone = (name: string) =>
  GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x2000], [GuestAddress(0x8000), 0x2000]], {
    backing: Backing.file(reader, {
      private: true,
      async lease() {
        asked.push(name);
        await new Promise((resolve) => setTimeout(resolve, name === "second" ? 50 : 150));
        done++;
      },
    }),
  });
const clones = ["first", "second", "third"].map(clone);
clones[0]!.close();
await new Deno.Command("sh", { args: ["-c", `: > ${path}`] }).output();
const atEnd = done;
for (const memory of clones) memory.close();
console.log(JSON.stringify({ asked, done: atEnd, size: Deno.statSync(path).size }));
Deno.removeSync(path);
