import { assert, assertLess } from "@std/assert";
import { runDeno } from "./backend/mmap/crash/run.ts";

const program = new URL("./allocation/scalar_loops.ts", import.meta.url).href;

// An address from 2^31 on is a heap number to V8 wherever it is passed on, and not where it is used.
for (const kind of ["mapped", "heap"]) {
  for (const base of [0, 2 ** 32]) {
    Deno.test(`warm loops of scalar accesses allocate nothing: ${kind} memory at ${base}`, async () => {
      const flags = ["--allow-all", "--v8-flags=--expose-gc"];
      const { code, stdout, stderr } = await runDeno([...flags, program, kind, `${base}`]);
      assert(code === 0, stderr);
      const { control, ...loops } = JSON.parse(stdout) as Record<string, number>;
      assert(control! >= 16, `an object for each access takes ${control} bytes`);
      for (const [access, bytes] of Object.entries(loops)) assertLess(bytes, 1, access);
    });
  }
}
