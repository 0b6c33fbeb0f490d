/** The thread that took a lease closes the memory, while another one still reads it. */
import { Backing, GuestAddress, GuestMemoryMmap } from "../../../../mod.ts";

const path = Deno.makeTempFileSync();
Deno.writeFileSync(path, new Uint8Array(0x2000).fill(7));
using reader = Deno.openSync(path);
const truncate = () => new Deno.Command("sh", { args: ["-c", `: > ${path}`] }).output();

const code = `
  import { GuestAddress, GuestMemoryMmap, u8 } from "${import.meta.resolve("../../../../mod.ts")}";
  let memory;
  onmessage = ({ data }) => {
    if (data === "close") {
      const seen = memory.readObj(u8, GuestAddress(0x1fff));
      memory.close();
      postMessage(seen);
    } else {
      memory = GuestMemoryMmap.attach(data);
      postMessage("attached");
    }
  };
  postMessage("ready");`;
const worker = new Worker(`data:text/javascript,${encodeURIComponent(code)}`, { type: "module" });
const answer = () => new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data));
function ask(message: unknown): Promise<unknown> {
  const answered = answer();
  worker.postMessage(message);
  return answered;
}

let asked = 0;
let seen: unknown;
const map = () =>
  GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x2000]], {
    backing: Backing.file(reader, {
      private: true,
      async lease() {
        asked++;
        seen = await ask("close");
      },
    }),
  });
await answer();
const memory = map();
await ask(memory.share());
memory.close();
await truncate();
const { size } = Deno.statSync(path);

// Without anybody who asks for the file: the lease is gone once the other thread has closed.
Deno.writeFileSync(path, new Uint8Array(0x2000).fill(7));
const first = asked;
const next = map();
await ask(next.share());
next.close();
await ask("close");
await new Promise((resolve) => setTimeout(resolve, 1500));
const started = Date.now();
await truncate();
const mayWrite = Date.now() - started < 1000;
worker.terminate();
Deno.removeSync(path);
console.log(JSON.stringify({ asked: first, seen, size, again: asked - first, mayWrite }));
