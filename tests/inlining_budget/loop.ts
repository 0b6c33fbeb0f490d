/**
 * Has V8 compile one loop of accesses to mapped memory, warm, as if it had run for long.
 *
 *     loop.ts STATEMENT
 *
 * Run with `--allow-natives-syntax`, so that nothing depends on time or on how often a loop runs.
 */
import { Cursor, GuestAddress, GuestMemoryMmap, u32 } from "../../mod.ts";

// So many that every function of the way has feedback.
const ACCESSES = 2000;

const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x1_0000]]);
const buffer = new Uint8Array(512);

const loop = new Function(
  "memory",
  "u32",
  "buffer",
  "cursor",
  `return function hotLoop() {
    let sum = 0;
    for (let i = 0; i < ${ACCESSES}; i++) {
      const at = (i & 1023) * 8;
      ${Deno.args[0]};
    }
    return sum;
  }`,
)(memory, u32, buffer, new Cursor(buffer));

new Function(
  "loop",
  `%PrepareFunctionForOptimization(loop);
  for (let round = 0; round < 3; round++) loop();
  %OptimizeFunctionOnNextCall(loop);
  loop();`,
)(loop);
