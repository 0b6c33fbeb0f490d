import { assertEquals } from "@std/assert";
import { libc } from "../../../ffi/libc.ts";
import { mapMemory } from "../../../ffi/memory.ts";
import { leaked, unreference } from "../../../src/backend/mmap/mapping.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { mappingAt } from "../../support/proc_maps.ts";

const LENGTH = 0x2000;

const isMapped = (address: number) => mappingAt(BigInt(address)) !== undefined;

function map(): number {
  const { platform: { map } } = libc();
  const flags = map.private | map.anonymous;
  return mapMemory({ hint: 0, length: LENGTH, prot: 3, flags, fd: -1, offset: 0 });
}

linuxTest("unreference() of a mapping with one holder unmaps what it owns", () => {
  const foreign = { address: map(), length: LENGTH, owned: false };
  unreference(foreign);
  assertEquals(isMapped(foreign.address), true);
  unreference({ ...foreign, owned: true });
  assertEquals(isMapped(foreign.address), false);
});

linuxTest("unreference() unmaps with the last holder", () => {
  const mapping = {
    address: map(),
    length: LENGTH,
    owned: true,
    holders: new Int32Array(new SharedArrayBuffer(4)),
  };
  mapping.holders[0] = 2;
  unreference(mapping);
  assertEquals([isMapped(mapping.address), mapping.holders[0]], [true, 1]);
  unreference(mapping);
  assertEquals([isMapped(mapping.address), mapping.holders[0]], [false, 0]);
});

linuxTest(
  "a buffer that is unreachable ends its hold, and one that was unregistered does not",
  async () => {
    const kept = { address: map(), length: LENGTH, owned: true };
    const lost = { address: map(), length: LENGTH, owned: true };
    const token = {};
    (() => {
      leaked.register(new ArrayBuffer(8), kept, token);
      leaked.register(new ArrayBuffer(8), lost, {});
    })();
    leaked.unregister(token);
    const { gc } = globalThis as unknown as { gc?: () => void };
    for (let i = 0; gc !== undefined && i < 100 && isMapped(lost.address); i++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assertEquals([isMapped(lost.address), isMapped(kept.address)], [gc === undefined, true]);
    unreference(kept);
  },
);
