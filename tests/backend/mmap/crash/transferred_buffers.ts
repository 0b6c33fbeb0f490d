/** Buffers that were transferred, by each way there is, and what becomes of the memory. */
import {
  GuestAddress,
  GuestMemoryMmap,
  MmapRegion,
  Permissions,
  u8,
  type VolatileSlice,
} from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

const { gc } = globalThis as { gc?: () => void };
async function collect(): Promise<void> {
  for (let round = 0; round < 20; round++) {
    gc?.();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

const WAYS: Record<string, (buffer: ArrayBuffer) => ArrayBuffer> = {
  transfer: (buffer) => buffer.transfer(),
  fixed: (buffer) => buffer.transferToFixedLength(),
  clone: (buffer) => structuredClone(buffer, { transfer: [buffer] }),
  overridden(buffer) {
    const moved = buffer.transfer();
    Object.defineProperty(buffer, "detached", { value: false });
    Object.defineProperty(buffer, "transfer", { value: () => {} });
    return moved;
  },
};
const outcomes: Record<string, unknown> = {};

for (const [name, transfer] of Object.entries(WAYS)) {
  const take = () => {
    const region = new MmapRegion(0x1000);
    const view = region.asVolatileSlice().rawView().fill(7);
    return { region, moved: new Uint8Array(transfer(view.buffer as ArrayBuffer)) };
  };
  const { region, moved } = take();
  const lost = attempt(() => region.asVolatileSlice().writeObj(u8, 1, 5));
  const narrowed = attempt(() => region.protect(Permissions.No));
  const closed = attempt(() => region.close());
  moved[1] = 8;
  // Forgotten without closing, before and after a first collection.
  const forgotten = (() => take().moved)();
  const later = (() => new MmapRegion(0x1000).asVolatileSlice().rawView())();
  await collect();
  const laterMoved = new Uint8Array(transfer(later.buffer as ArrayBuffer));
  await collect();
  forgotten[1] = 8;
  laterMoved[0] = 1;
  outcomes[name] = [lost, narrowed, closed, ...moved.subarray(0, 2), ...forgotten.subarray(0, 2)];
}

// A view of a buffer whose own properties claim that it is gone.
{
  const region = new MmapRegion(0x1000);
  const view = region.asVolatileSlice().rawView();
  Object.defineProperty(view.buffer, "detached", { value: true });
  Object.defineProperty(view.buffer, "transfer", { value: () => new ArrayBuffer(0) });
  region.close();
  outcomes.claimed = view.length;
}
// The buffer over a boundary, when its memories are forgotten, and when they are closed.
{
  const over = (memory: GuestMemoryMmap) => {
    const views: Uint8Array[] = [];
    memory.readVolatileFrom(GuestAddress(0x1ffc), {
      readVolatile(slice: VolatileSlice) {
        views.push(slice.rawView().fill(7));
        return slice.len;
      },
      readVectoredVolatile: () => 0,
    }, 8);
    return new Uint8Array((views[0]!.buffer as ArrayBuffer).transfer());
  };
  const make = () =>
    GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x2000], [GuestAddress(0x2000), 0x2000]]);
  const kept = make();
  const moved = over(kept);
  const forgotten = (() => over(make()))();
  const removed = make();
  const movedOfRemoved = over(removed);
  const [rest, region] = removed.removeRegion(GuestAddress(0x2000), 0x2000);
  removed.close();
  await collect();
  attempt(() => rest.close());
  attempt(() => region.close());
  // Each of the two regions says why it cannot be unmapped.
  let closed: unknown;
  try {
    kept.close();
  } catch (error) {
    closed = error instanceof AggregateError && error.errors.map(({ name }) => name);
  }
  for (const view of [moved, forgotten, movedOfRemoved]) view.fill(1);
  outcomes.boundary = [closed, moved.length > 0];
}
console.log(JSON.stringify(outcomes));
