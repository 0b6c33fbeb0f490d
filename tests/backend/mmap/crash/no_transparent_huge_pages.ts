/** A process that may not have transparent huge pages. */
import { capabilities, MmapRegion } from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

// int prctl(int op, ...);
const { symbols: { prctl } } = Deno.dlopen("libc.so.6", {
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
});
const PR_SET_THP_DISABLE = 41;

const isDisabled = prctl(PR_SET_THP_DISABLE, 1n, 0n, 0n, 0n) === 0;
const outcome = attempt(() => new MmapRegion(2 ** 21, { transparentHugePages: true }).close());
const { available } = capabilities().options.transparentHugePages;
console.log(JSON.stringify({ isDisabled, outcome, available }));
