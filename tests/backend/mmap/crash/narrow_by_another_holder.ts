import {
  AtomicBitmap,
  GuestAddress,
  GuestMemoryMmap,
  MmapRegion,
  Permissions,
  u8,
} from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

const ADDR = GuestAddress(0);
const { No, Read, ReadWrite } = Permissions;
const outcomes: Record<string, unknown> = {};

// In one thread, every holder sees the change.
{
  using memory = GuestMemoryMmap.fromRanges([[ADDR, 0x1000]], {
    bitmap: (length) => new AtomicBitmap(length),
  });
  using attached = GuestMemoryMmap.attach(memory.share());
  const { mmap } = memory.findRegion(ADDR)!;
  const view = attached.getSlice(ADDR, 16).rawView();
  const ref = attached.getAtomicRef(u8, ADDR);
  mmap.protect(Read);
  outcomes.sameThread = [
    view.length,
    attempt(() => attached.writeObj(u8, 1, ADDR)),
    attempt(() => attached.write(Uint8Array.of(1), ADDR)),
    attempt(() => ref.fetchAdd(1)),
    attached.readObj(u8, ADDR),
    ref.load(),
  ];
  mmap.protect(No);
  outcomes.noAccess = [
    attempt(() => attached.readObj(u8, ADDR)),
    attempt(() => attached.read(new Uint8Array(1), ADDR)),
    attempt(() => ref.load()),
  ];
  mmap.protect(ReadWrite);
  attached.writeObj(u8, 7, ADDR);
  outcomes.again = [ref.load(), memory.readObj(u8, ADDR), view.length];
}

// While another thread holds the mapping, nothing is taken away.
const worker = new Worker(new URL("./writing_worker.ts", import.meta.url), { type: "module" });
const said = (message?: unknown) =>
  new Promise<unknown>((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
    if (message !== undefined) worker.postMessage(message);
  });
{
  using region = new MmapRegion(0x1000);
  const handle = region.share();
  const inTransit = attempt(() => region.protect(Read));
  await said(handle);
  const held = attempt(() => region.protect(Read));
  // The other thread writes all the time meanwhile.
  for (let i = 0; i < 100; i++) attempt(() => region.protect(i % 2 === 0 ? Read : No));
  const fromThere = await said("protect");
  await said("close");
  const released = attempt(() => region.protect(Read));
  outcomes.otherThread = [inTransit, held, fromThere, released, `${region}`];
}
worker.terminate();
console.log(JSON.stringify(outcomes));
