import { assertEquals, assertThrows } from "@std/assert";
import { GuestRegionCollectionError } from "../../mod.ts";
import {
  InvalidManifest,
  restore,
  snapshotManifest,
  SnapshotMismatch,
  writeSnapshot,
} from "../../src/snapshot/mod.ts";
import { linuxTest } from "../support/linux_test.ts";
import { gpa } from "../support/values.ts";
import { KINDS, memoryOf, naiveBytes, PAGE, scratchFile } from "./memories.ts";

const RANGES = [[PAGE, 2 * PAGE], [3 * PAGE, PAGE + 5], [2 ** 33, PAGE]] as const;

linuxTest("snapshotManifest() says where each region is in the file", () => {
  for (const kind of KINDS) {
    using memory = memoryOf(kind, RANGES);
    assertEquals(snapshotManifest(memory), {
      version: 1,
      pageSize: PAGE,
      length: 5 * PAGE,
      generation: 0,
      regions: [
        { startAddr: PAGE, len: 2 * PAGE, position: 0 },
        { startAddr: 3 * PAGE, len: PAGE + 5, position: 2 * PAGE },
        { startAddr: 2 ** 33, len: PAGE, position: 4 * PAGE },
      ],
    });
    assertEquals(snapshotManifest([...memory].toReversed()), snapshotManifest(memory));
  }
  assertEquals(snapshotManifest([]), {
    version: 1,
    pageSize: PAGE,
    length: 0,
    regions: [],
    generation: 0,
  });
  assertThrows(() => snapshotManifest(7 as never), TypeError, "as memory");
});

linuxTest("restore() takes the manifest of a snapshot, as JSON has it", async () => {
  using memory = memoryOf("anonymous", RANGES);
  for (const [start] of RANGES) memory.write(new Uint8Array(5).fill(start % 251), gpa(start + 7));
  using file = scratchFile();
  await writeSnapshot(memory, file.fd);
  const manifest = JSON.parse(JSON.stringify(snapshotManifest(memory)));
  for (const mode of ["copyOnWrite", "eager"] as const) {
    using restored = restore(manifest, file.fd, { mode });
    assertEquals(naiveBytes(restored), naiveBytes(memory));
    assertEquals(snapshotManifest(restored), manifest);
  }
  Deno.truncateSync(file.path, PAGE);
  assertThrows(() => restore(manifest, file.fd, { mode: "eager" }), SnapshotMismatch);
});

linuxTest("restore() refuses what is no manifest, or not for this host", () => {
  using memory = memoryOf("anonymous", RANGES);
  using file = scratchFile();
  Deno.truncateSync(file.path, 5 * PAGE);
  const good = snapshotManifest(memory);
  const [first, second, third] = good.regions as [object, object, object];
  const refused = (manifest: unknown, reason: string) => {
    const run = () => restore(manifest as never, file.fd, { mode: "eager" });
    assertEquals(assertThrows(run, InvalidManifest).reason, reason);
  };
  for (const wrong of [undefined, null, 7, {}]) {
    refused(wrong, "its version is undefined, and 1 is known");
  }
  refused({ ...good, version: 2 }, "its version is 2, and 1 is known");
  refused({ ...good, version: "1" }, 'its version is "1", and 1 is known');
  for (const regions of [undefined, {}, "", 7]) {
    refused({ ...good, regions }, "it has no list of regions");
  }
  for (const name of ["startAddr", "len", "position"]) {
    for (const value of [-1, 1.5, 2 ** 53, "0", NaN, undefined, null]) {
      const regions = [first, { ...second, [name]: value }, third];
      refused({ ...good, regions }, `${name} of region 1 is no integer from 0`);
    }
  }
  for (const value of [-1, 1.5, 2 ** 53, "0", undefined]) {
    for (const name of ["generation", "length", "pageSize"]) {
      refused({ ...good, [name]: value }, `its ${name} is no integer from 0`);
    }
  }
  for (const sha256 of ["", "0".repeat(63), "A".repeat(64), `${"0".repeat(64)}\n`, 5, null]) {
    const shown = typeof sha256 === "string" ? JSON.stringify(sha256) : String(sha256);
    refused({ ...good, sha256 }, `its sha256 is ${shown}: 64 hexadecimal digits are needed`);
  }
  const diff = { ...good, since: 0, generation: 1, form: "flat" };
  refused(diff, "it is of a diff: apply that to its snapshot");
  refused({ ...diff, since: -1 }, "its since is no integer from 0");
  refused({ ...diff, since: null }, "its since is no integer from 0");
  refused({ ...diff, form: "x" }, 'its form is "x": it must be "flat" or "compact"');
  // Only of a diff does the length differ.
  refused(
    { ...good, form: "compact", length: 4 * PAGE },
    "its regions are not one after the other",
  );
  refused({ ...good, regions: [null] }, "startAddr of region 0 is no integer from 0");
  const apart = "its regions are not one after the other";
  refused({ ...good, length: 4 * PAGE }, apart);
  refused({ ...good, regions: [first, second] }, apart);
  refused({ ...good, regions: [second, first, third] }, apart);
  refused({ ...good, regions: [first, { ...second, position: 0 }, third] }, apart);
  const larger = {
    ...good,
    pageSize: 2 ** 20,
    length: 2 ** 22,
    regions: [first, { ...second, position: 2 ** 20 }, { ...third, position: 2 ** 21 }],
  };
  refused(larger, `pages of the host that wrote it have 1048576 bytes, and ${PAGE} here`);
  // Where they are the same places, the size of a page does not matter.
  restore({ ...good, pageSize: 2 ** 20 }, file.fd, { mode: "eager" }).close();
  const overlapping = [first, { ...second, startAddr: 2 * PAGE }, third];
  const run = () => restore({ ...good, regions: overlapping } as never, file.fd, { mode: "eager" });
  assertThrows(run, GuestRegionCollectionError);
});
