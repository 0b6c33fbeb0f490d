import { GuestAddress, GuestMemoryMmap, Permissions, u32, u8 } from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x1000]], {
  protection: Permissions.Read,
});
const slice = memory.getSlice(GuestAddress(0), 0x1000);
console.log(JSON.stringify([
  attempt(() => memory.writeObj(u8, 7, GuestAddress(0))),
  attempt(() => memory.store(u32, 7, GuestAddress(0))),
  attempt(() => memory.write(new Uint8Array(8), GuestAddress(0))),
  attempt(() => slice.copyFrom(new Uint8Array(8))),
  attempt(() => slice.rawView()),
  attempt(() => memory.readVolatileFrom(GuestAddress(0), { readSync: () => 4 }, 4)),
]));
