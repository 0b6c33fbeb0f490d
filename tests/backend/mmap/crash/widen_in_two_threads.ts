import { GuestAddress, GuestMemoryMmap, Permissions } from "../../../../mod.ts";

const { No, Read, ReadWrite } = Permissions;
const ROUNDS = 2000;

const workers = [0, 1].map(() =>
  new Worker(new URL("./widening_worker.ts", import.meta.url), { type: "module" })
);
const answers = () =>
  Promise.all(
    workers.map((worker) =>
      new Promise<string>((resolve) => worker.onmessage = ({ data }) => resolve(data))
    ),
  );
await answers();
const outcomes = new Set<string>();
for (let round = 0; round < ROUNDS; round++) {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x1000]], { protection: No });
  const arrived = new Int32Array(new SharedArrayBuffer(4));
  const all = answers();
  workers.forEach((worker, i) =>
    worker.postMessage({
      handle: memory.share(),
      arrived,
      protection: [ReadWrite, Read][i],
      pause: round % (i === 0 ? 7 : 5) * 1000,
    })
  );
  outcomes.add((await all).join());
}
for (const worker of workers) worker.terminate();
console.log(JSON.stringify([...outcomes].sort()));
