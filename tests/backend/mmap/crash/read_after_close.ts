import { GuestAddress, GuestMemoryMmap, u32, u8 } from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x1000]]);
const region = memory.findRegion(GuestAddress(0))!;
const slice = region.asVolatileSlice();
const view = slice.rawView();
const data = new DataView(view.buffer);
view[0] = 7;
memory.close();
console.log(JSON.stringify([
  [view[0] === undefined, view.length, view.byteLength, view.buffer.byteLength],
  attempt(() => data.getUint8(0)),
  attempt(() => view.fill(1)),
  attempt(() => memory.readObj(u8, GuestAddress(0))),
  attempt(() => memory.store(u32, 1, GuestAddress(0))),
  attempt(() => slice.readObj(u8, 0)),
  attempt(() => slice.write(Uint8Array.of(1), 0)),
  attempt(() => slice.rawView()),
  attempt(() => region.asVolatileSlice().copyTo(new Uint8Array(8))),
]));
