import { assertEquals, assertGreater } from "@std/assert";
import type { Tally } from "./unplug_crash/hammer.ts";
import { linuxTest } from "../../support/linux_test.ts";

const MILLISECONDS = 2000;

/** What a process has done until it ended, which it has to do in order. */
async function hammer(mode: "worker" | "snapshots"): Promise<Tally> {
  const { code, signal, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--allow-all",
      "--v8-flags=--expose-gc",
      new URL("./unplug_crash/hammer.ts", import.meta.url).href,
      mode,
      `${MILLISECONDS}`,
    ],
    env: { NO_COLOR: "1" },
  }).output();
  assertEquals([code, signal, new TextDecoder().decode(stderr)], [0, null, ""]);
  return JSON.parse(new TextDecoder().decode(stdout));
}

linuxTest(
  "unplugging and closing regions while a Worker uses the same file does not crash",
  async () => {
    const { unplugged, accesses } = await hammer("worker");
    assertGreater(unplugged, 10);
    assertGreater(accesses, 1000);
  },
);

linuxTest("unplugging and closing regions while older maps are in use does not crash", async () => {
  const { unplugged, accesses, refused } = await hammer("snapshots");
  assertGreater(unplugged, 10);
  assertGreater(accesses, 1000);
  assertGreater(refused, 0);
});
