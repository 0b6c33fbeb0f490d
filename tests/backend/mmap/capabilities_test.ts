import { assert, assertEquals } from "@std/assert";
import {
  Backing,
  capabilities,
  type Capability,
  type MmapOptions,
  MmapRegion,
  OptionRefused,
} from "../../../mod.ts";
import { runProgram } from "./crash/run.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { mappings } from "../../support/proc_maps.ts";

const HUGE = 2 ** 21;

linuxTest("capabilities() says what the kernel refuses this process", async () => {
  const { stdout, stderr } = await runProgram("no_transparent_huge_pages");
  const expected = { isDisabled: true, outcome: "OptionRefused", available: false };
  assertEquals([JSON.parse(stdout), stderr], [expected, ""]);
});

linuxTest("capabilities() agrees with what mapping does, and leaves nothing mapped", () => {
  capabilities();
  // V8 maps private memory too.
  const left = () => mappings().filter(({ path }) => /guest-memory|zero/.test(path)).length;
  const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = [left(), descriptors()];
  capabilities();
  assertEquals([left(), descriptors()], before);
  const { backings, options, calls, trackers } = capabilities();
  const tries: [Capability, MmapOptions, number][] = [
    [backings.anonymous, {}, HUGE],
    [backings.anonymousShared, { backing: Backing.anonymous({ shared: true }) }, HUGE],
    [backings.anonymousHugePages, { backing: Backing.anonymous({ hugePages: HUGE }) }, HUGE],
    [backings.memfd, { backing: Backing.memfd() }, HUGE],
    [backings.memfdHugePages, { backing: Backing.memfd({ hugePages: HUGE }) }, HUGE],
    [options.reserve, { reserve: true }, HUGE],
    [options.prefault, { prefault: true }, HUGE],
    [options.transparentHugePages, { transparentHugePages: true }, 2 * HUGE],
    [options.mergeable, { mergeable: true }, HUGE],
    [options.dontDump, { dontDump: true }, HUGE],
    [options.dontFork, { dontFork: true }, HUGE],
    [options.lock, { lock: true }, HUGE],
    [options.lockOnFault, { lock: "onfault" }, HUGE],
    [options.numa, { numa: { nodes: [0], policy: "bind" } }, HUGE],
    [options.guardPages, { guardPages: true }, HUGE],
  ];
  for (const [{ available, reason }, mapOptions, size] of tries) {
    let failure: unknown;
    try {
      new MmapRegion(size, mapOptions).close();
    } catch (error) {
      failure = error;
    }
    assertEquals(failure === undefined, available);
    assertEquals(reason === undefined, available);
    if (!available) assert(failure instanceof OptionRefused && reason === failure.message);
  }
  assertEquals(tries.length, Object.keys({ ...backings, ...options }).length);
  assertEquals(Object.keys(calls), ["membarrier", "userfaultfd", "pageFaults", "pagemapScan"]);
  assertEquals(Object.keys(trackers), ["writeTracker", "writtenSinceRestore"]);
  assertEquals(trackers.writtenSinceRestore, calls.pagemapScan);
  for (const { available, reason } of [...Object.values(calls), ...Object.values(trackers)]) {
    assertEquals(available, reason === undefined);
  }
});
