import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { halfSipHash, sealOf } from "../../../src/backend/mmap/seal.ts";
import { processSecret } from "../../../ffi/process.ts";

// Of the reference implementation: vectors_hsip64 of vectors.h (Aumasson and Bernstein).
const REFERENCE = [
  "218d1f59b9b83cc8",
  "be552412f8387315",
  "064f39ef7c50eb57",
  "ce0f1a45f7060679",
];

const KEY = new Uint32Array(Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7).buffer);
const input = (length: number) => Uint8Array.from({ length }, (_, i) => i);

Deno.test("halfSipHash() is that of the reference implementation", () => {
  assertEquals(REFERENCE.map((_, length) => halfSipHash(KEY, input(length))), REFERENCE);
});

Deno.test("halfSipHash() reads only the bytes that it is given, wherever they begin", () => {
  for (let length = 0; length < 20; length++) {
    const padded = new Uint8Array(64).fill(0xee);
    padded.set(input(length), 3);
    const hash = halfSipHash(KEY, padded.subarray(3, 3 + length));
    assertEquals(hash, halfSipHash(KEY, input(length)));
  }
});

Deno.test("halfSipHash() differs for every bit of the bytes and of the key", () => {
  const bytes = input(11);
  const hashes = new Set([halfSipHash(KEY, bytes)]);
  for (let bit = 0; bit < 88; bit++) {
    const other = Uint8Array.from(bytes);
    other[bit >> 3]! ^= 1 << (bit & 7);
    hashes.add(halfSipHash(KEY, other));
  }
  for (let bit = 0; bit < 64; bit++) {
    const key = Uint32Array.from(KEY);
    key[bit >> 5]! ^= 1 << (bit & 31);
    hashes.add(halfSipHash(key, bytes));
  }
  for (let length = 0; length < 300; length++) hashes.add(halfSipHash(KEY, new Uint8Array(length)));
  assertEquals(hashes.size, 1 + 88 + 64 + 300);
});

Deno.test("sealOf() is the hash of the text's UTF-8, with the secret of the process", () => {
  for (const text of ["", "a", "{}", "ünïcode 🦕"]) {
    const bytes = new TextEncoder().encode(text);
    assertEquals(sealOf(text), halfSipHash(processSecret(), bytes));
    assertMatch(sealOf(text), /^[0-9a-f]{16}$/);
  }
  assertNotEquals(sealOf("a"), sealOf("b"));
});

Deno.test("sealOf() is the same in every thread", async () => {
  const seal = new URL("../../../src/backend/mmap/seal.ts", import.meta.url).href;
  const code = `import { sealOf } from "${seal}"; postMessage(sealOf("text"));`;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(code)}`, { type: "module" });
  const answer = await new Promise((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
  });
  worker.terminate();
  assertEquals(answer, sealOf("text"));
});
