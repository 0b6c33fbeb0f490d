import { GuestMemoryHeap } from "../mod.ts";
import { checkAgainstModel } from "./support/memory_model.ts";

Deno.test("GuestMemoryHeap does what the model does", () => {
  checkAgainstModel((ranges, options) => GuestMemoryHeap.fromRanges(ranges, options));
});

Deno.test("GuestMemoryHeap in shared memory does what the model does", () => {
  checkAgainstModel((ranges, options) =>
    GuestMemoryHeap.fromRanges(ranges, { ...options, shared: true })
  );
});
