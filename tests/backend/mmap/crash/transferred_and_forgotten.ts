import { MmapRegion } from "../../../../mod.ts";

const { gc } = globalThis as { gc?: () => void };

function smuggle(): Uint8Array {
  const buffer = new MmapRegion(0x1000).asVolatileSlice().rawView().fill(7).buffer as ArrayBuffer;
  return new Uint8Array(structuredClone(buffer, { transfer: [buffer] }));
}

const smuggled = smuggle();
console.log(smuggled[0]);
for (let round = 0; round < 20; round++) {
  gc?.();
  await new Promise((resolve) => setTimeout(resolve, 1));
}
console.log(smuggled[0]);
