import { assert, assertEquals } from "@std/assert";
import { runDeno } from "../backend/mmap/crash/run.ts";

Deno.test("Virtqueue throws typed errors, and never ends the process, whatever a device's code does", async () => {
  const url = new URL("./hostile_code.ts", import.meta.url);
  const ending = await runDeno(["--allow-all", url.href, "1", "1000"]);
  assertEquals([ending.signal, ending.code, ending.stderr], [null, 0, ""]);
  const { taken, seen } = JSON.parse(ending.stdout);
  assert(taken > 1000, ending.stdout);
  const names = [
    "AccessDenied",
    "ChainUsed",
    "InvalidAvailRingIndex",
    "MemoryClosed",
    "PartialBuffer",
    "VirtqueueError",
  ];
  assertEquals(Object.keys(seen).filter((name) => !names.includes(name)), []);
  for (const name of ["AccessDenied", "ChainUsed", "MemoryClosed"]) assert(seen[name] > 100, name);
});
