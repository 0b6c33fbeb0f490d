import { Backing, MmapRegion } from "../../../../mod.ts";
import { mappingsOf } from "../../../support/proc_maps.ts";

const { gc } = globalThis as { gc?: () => void };

const [kept, control] = ["kept", "control"];
const backing = (name: string) => ({ backing: Backing.memfd({ name }) });
const mapped = (name: string) => mappingsOf(`/memfd:${name} (deleted)`).length;

function smuggle(): Uint8Array {
  const { buffer } = new MmapRegion(0x1000, backing(kept)).asVolatileSlice().rawView().fill(7);
  return new Uint8Array(structuredClone(buffer, { transfer: [buffer as ArrayBuffer] }));
}

const smuggled = smuggle();
// Memory that nothing was transferred of, which shows when the other would be given back.
(() => void new MmapRegion(0x1000, backing(control)))();
const before = smuggled[0];
for (let round = 0; round < 100; round++) {
  gc?.();
  await new Promise((resolve) => setTimeout(resolve, 2));
}
const after = smuggled[0];
smuggled[1] = 8;
const collected = mapped(control) === 0;
console.log(
  JSON.stringify({ collected, mapped: mapped(kept), before, after, written: smuggled[1] }),
);
