import { assert, assertEquals } from "@std/assert";
import { HeldBuffer } from "../../src/snapshot/held_buffer.ts";
import { readAt } from "../../ffi/io.ts";
import { collectUntil, gcTest } from "../support/garbage.ts";
import { openFile } from "../support/posix.ts";

gcTest(
  "HeldBuffer keeps its bytes where they are until its end, though no code uses them",
  async () => {
    for (const length of [1, 40, 2 ** 20]) {
      using file = openFile(new Uint8Array(length).fill(7));
      let isFree = false;
      const registry = new FinalizationRegistry(() => isFree = true);
      const make = () => {
        const buffer = new HeldBuffer(length);
        registry.register(buffer.bytes, undefined);
        return { address: buffer.address, end: () => buffer[Symbol.dispose]() };
      };
      await (async () => {
        const { address, end } = make();
        const seen = () => isFree;
        for (let i = 0; i < 5; i++) assertEquals(await collectOnce(seen), false);
        assertEquals(readAt(file.fd, address, length, 0), length);
        end();
      })();
      assert(await collectUntil(() => isFree));
      using buffer = new HeldBuffer(length);
      readAt(file.fd, buffer.address, length, 0);
      assertEquals(new Uint8Array(buffer.bytes.buffer), new Uint8Array(length).fill(7));
    }
  },
);

async function collectOnce(isFree: () => boolean): Promise<boolean> {
  (globalThis as { gc?: () => void }).gc?.();
  await new Promise((resolve) => setTimeout(resolve, 1));
  return isFree();
}
