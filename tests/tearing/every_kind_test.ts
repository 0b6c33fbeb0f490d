import { assertEquals } from "@std/assert";
import { FileOffset, GuestAddress, GuestMemoryMmap } from "../../mod.ts";
import { openFile } from "../support/posix.ts";
import { CODECS, type Kind, kindOf, KINDS, open, type Order, SIZE, values } from "./every_kind.ts";
import { WAYS } from "./every_kind.ts";

const READS = 100_000;
// A loaded machine may run only one of the two threads for a while.
const PATIENCE = 30_000;

function fileKind(): Kind {
  const file = openFile(new Uint8Array(SIZE));
  const memory = GuestMemoryMmap.fromRangesWithFiles([
    [GuestAddress(0), SIZE, new FileOffset(file.fd)],
  ]);
  const kind = kindOf(memory);
  return {
    ...kind,
    [Symbol.dispose]() {
      kind[Symbol.dispose]();
      file[Symbol.dispose]();
    },
  };
}

async function countTorn(
  kind: Kind,
  { way, codec: name, atomic }: Pick<Order, "way" | "codec" | "atomic">,
): Promise<{ torn: number; both: boolean }> {
  const control = new SharedArrayBuffer(8);
  const words = new Int32Array(control);
  const worker = new Worker(new URL("./toggle_worker.ts", import.meta.url), { type: "module" });
  try {
    const done = new Promise((resolve, reject) => {
      worker.onmessage = resolve;
      worker.onerror = (event) => reject(new Error(event.message));
    });
    worker.postMessage({ shared: kind.share(), way, codec: name, atomic, control });
    while (Atomics.load(words, 1) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    using place = open(kind.share(), way);
    const { memory, at } = place;
    const codec = CODECS[name]!;
    const [zeros, ones] = values(codec);
    let [torn, zero, one] = [0, 0, 0];
    const end = performance.now() + PATIENCE;
    for (let reads = 0; reads < READS || (zero === 0 || one === 0); reads++) {
      const value = atomic ? memory.load(codec, at) : memory.readObj(codec, at);
      if (value === zeros) zero++;
      else if (value === ones) one++;
      else torn++;
      if (reads % 1000 === 0 && performance.now() > end) break;
    }
    Atomics.store(words, 0, 1);
    await done;
    return { torn, both: zero > 0 && one > 0 };
  } finally {
    worker.terminate();
  }
}

for (const [what, make] of Object.entries({ ...KINDS, "a file": fileKind })) {
  for (const way of WAYS) {
    Deno.test({
      name: `aligned scalars are read and written whole in ${what}, by ${way}`,
      ignore: what === "a file" && Deno.build.os !== "linux",
      async fn() {
        using kind = make();
        for (const atomic of [false, true]) {
          for (const codec of Object.keys(CODECS)) {
            const { torn, both } = await countTorn(kind, { way, codec, atomic });
            assertEquals([codec, atomic, torn, both], [codec, atomic, 0, true]);
          }
        }
      },
    });
  }
}
