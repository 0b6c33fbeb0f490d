/**
 * Finding the region of an address, among 1 to 4,096 regions.
 *
 * The regions have no memory: what is measured is the lookup alone. Nothing is hoisted or folded away:
 * addresses come out of tables; the length of the region that was found goes into the sink.
 */
import {
  type Bitmap,
  GuestAddress,
  GuestMemoryRegion,
  GuestRegionCollection,
  NoBitmap,
} from "@vmm/guest-memory";
import { consume } from "./sink.ts";
import { addressTable, EACH, GIB, KIB, MASK, MIB, OPERATIONS, randomIntegers } from "./workload.ts";

class BareRegion extends GuestMemoryRegion {
  readonly startAddr: GuestAddress;
  readonly len: number;
  readonly bitmap: Bitmap = NoBitmap;

  constructor(startAddr: number, len: number) {
    super();
    this.startAddr = GuestAddress(startAddr);
    this.len = len;
  }
}

type Memory = GuestRegionCollection<BareRegion>;

/** In each region so many bytes, and after it a hole of so many. */
interface Layout {
  readonly name: string;
  readonly sizeOf: (index: number) => number;
  readonly hole: number;
}

const equal: Layout = { name: "1 MiB each", sizeOf: () => MIB, hole: 0 };
const apart: Layout = { name: "1 MiB each, holes between", sizeOf: () => MIB, hole: MIB };
// As with device memory beside RAM: a few huge ones, and many that are small.
const uneven: Layout = {
  name: "4 KiB, every 64th 64 GiB",
  sizeOf: (index) => index % 64 === 0 ? 64 * GIB : 4 * KIB,
  hole: 0,
};

for (const count of [1, 8, 64, 512, 4096]) benchLookups(count, equal);
for (const count of [64, 4096]) benchLookups(count, apart);
for (const count of [64, 4096]) benchLookups(count, uneven);

function benchLookups(count: number, layout: Layout): void {
  const memory = makeMemory(count, layout);
  const regions = [...memory];
  const random = randomIntegers();
  const within = ({ startAddr, len }: BareRegion) => startAddr + random(len);
  const bench = (pattern: string, addressOf: (i: number) => number) => {
    const addresses = addressTable(addressOf);
    Deno.bench(
      `${count} region${count === 1 ? "" : "s"}, ${pattern}`,
      { group: `find among regions of ${layout.name} (${EACH})` },
      () => {
        let found = 0;
        for (let i = 0; i < OPERATIONS; i++) {
          found += memory.findRegion(addresses[i & MASK]!)?.len ?? 0;
        }
        consume(found);
      },
    );
  };

  bench("local", () => within(regions[count >> 1]!));
  if (count === 1) return;
  bench("sequential", (i) => within(regions[i % count]!));
  bench("random", () => within(regions[random(count)]!));
  if (layout.hole > 0) bench("in holes", () => regions[random(count)]!.lastAddr + 1);
}

function makeMemory(count: number, { sizeOf, hole }: Layout): Memory {
  let start = 0;
  const regions = Array.from({ length: count }, (_, index) => {
    const region = new BareRegion(start, sizeOf(index));
    start += region.len + hole;
    return region;
  });
  return GuestRegionCollection.fromRegions(regions);
}
