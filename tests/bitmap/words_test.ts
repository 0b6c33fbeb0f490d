import { assertEquals, assertThrows } from "@std/assert";
import {
  bitCount,
  clear,
  forDirtyWords,
  forWords,
  mark,
  markAlways,
  nextDirty,
  take,
  trailingZeros,
  wordsOf,
} from "../../src/bitmap/words.ts";

interface Words {
  words: Int32Array;
  pairs: BigInt64Array;
}

function wordsWith(count: number, ...dirty: number[]): Words {
  const words = new Int32Array(count);
  for (const word of dirty) words[word] = 1 << (word % 32);
  return { words, pairs: new BigInt64Array(words.buffer) };
}

// What nextDirty finds, a word at a time.
function nextByLoop(words: Int32Array, word: number, end: number): number {
  for (; word < end; word++) if (words[word] !== 0) return word;
  return end;
}

Deno.test("wordsOf() gives whole words of 64 bits", () => {
  assertEquals(
    [0, 1, 32, 33, 64, 65, 128, 129].map(wordsOf),
    [0, 2, 2, 2, 2, 4, 4, 6],
  );
});

const STARTS = [0, 1, 2, 3, 4, 5, 63, 126, 127, 128, 129, 130, 131, 132, 133, 160, 255, 299];

Deno.test("nextDirty() finds the one dirty word wherever it is", () => {
  for (let dirty = 0; dirty <= 300; dirty++) {
    const { words, pairs } = wordsWith(304, dirty);
    for (const start of new Set([...STARTS, Math.max(dirty - 1, 0), dirty, dirty + 1])) {
      const what = `word ${dirty} from ${start}`;
      assertEquals(nextDirty(words, pairs, start), dirty >= start ? dirty : 304, what);
    }
  }
});

Deno.test("nextDirty() looks no further than the end", () => {
  const ends = [0, 1, 2, 3, 4, 5, 31, 32, 33, 127, 128, 129, 131, 132, 160, 161, 192, 299, 300];
  for (let dirty = 0; dirty <= 300; dirty++) {
    const { words, pairs } = wordsWith(304, dirty, 302);
    for (const end of new Set([...ends, dirty, dirty + 1, dirty + 2])) {
      for (const start of [0, 1, 2, 3, 5, 128, 129, end - 1, end, end + 1]) {
        if (start < 0) continue;
        const expected = start > end ? end : nextByLoop(words, start, end);
        assertEquals(nextDirty(words, pairs, start, end), expected, `${dirty}: ${start}-${end}`);
      }
    }
  }
});

Deno.test("nextDirty() finds a pair by either of its halves and by the highest bit", () => {
  for (let word = 0; word < 200; word++) {
    const { words, pairs } = wordsWith(200);
    words[word] = -(2 ** 31);
    assertEquals(nextDirty(words, pairs, 0), word);
  }
});

Deno.test("nextDirty() of clean words is the end", () => {
  for (let length = 0; length < 300; length += 2) {
    const { words, pairs } = wordsWith(length);
    for (let start = 0; start <= length; start++) {
      assertEquals(nextDirty(words, pairs, start), length);
    }
  }
});

Deno.test("markAlways() sets bits that are set too, and no bits are no access", () => {
  const words = Int32Array.of(0, 0b1, 0);
  const { or } = Atomics;
  const marked: number[] = [];
  Atomics.or =
    ((...args: Parameters<typeof or>) => (marked.push(args[1]), or(...args))) as typeof or;
  try {
    for (const bits of [0b1, 0b100, 0b100, 0, 1 << 31]) markAlways(words, 1, bits);
    markAlways(words, 3, 0);
  } finally {
    Atomics.or = or;
  }
  assertEquals([[...words], marked], [[0, 0b101 | 1 << 31, 0], [1, 1, 1, 1]]);
  assertThrows(() => markAlways(words, 3, 1), RangeError);
});

Deno.test("clear() clears bits and leaves those beside", () => {
  const words = Int32Array.of(-1, -1, -1);
  clear(words, 1, 0b101);
  clear(words, 1, 1 << 31);
  assertEquals([...words], [-1, 0x7fff_fffa, -1]);
});

Deno.test("mark() sets bits beside those that are set", () => {
  const words = new Int32Array(2);
  mark(words, 1, 0b101);
  mark(words, 1, 0b110);
  mark(words, 1, 1 << 31);
  mark(words, 1, 0);
  assertEquals([...words], [0, 0b111 | 1 << 31]);
});

Deno.test("take() returns and clears the bits of the mask only", () => {
  const words = Int32Array.of(-1, 0b1110, 0);
  assertEquals(take(words, 0, -1), -1);
  assertEquals(take(words, 1, 0b0111), 0b0110);
  assertEquals(take(words, 1, 0b0111), 0);
  assertEquals(take(words, 1, 1 << 3), 8);
  assertEquals(take(words, 2, -1), 0);
  assertEquals([...words], [0, 0, 0]);
  const high = Int32Array.of(-1);
  assertEquals([take(high, 0, 1 << 31), high[0]], [1 << 31, 0x7fff_ffff]);
});

// Pages of a range as forWords and forDirtyWords give them.
function pagesOf(masks: readonly (readonly [word: number, mask: number])[]): number[] {
  return masks.flatMap(([word, mask]) =>
    Array.from({ length: 32 }, (_, bit) => bit)
      .filter((bit) => (mask & 1 << bit) !== 0)
      .map((bit) => word * 32 + bit)
  );
}

const EDGES = [0, 1, 30, 31, 32, 33, 62, 63, 64, 65, 95, 96, 127, 128];
const rangeOf = (first: number, end: number) =>
  Array.from({ length: Math.max(end - first, 0) }, (_, i) => first + i);

Deno.test("forWords() gives each page of a range once, word by word", () => {
  for (const first of EDGES) {
    for (const end of EDGES) {
      const masks: [number, number][] = [];
      forWords(first, end, (word, bits) => masks.push([word, bits]));
      if (end <= first) continue;
      assertEquals(pagesOf(masks), rangeOf(first, end));
      assertEquals(new Set(masks.map(([word]) => word)).size, masks.length);
    }
  }
});

Deno.test("forDirtyWords() gives the mask of each word of a range that is not zero", () => {
  const words = new Int32Array(6).fill(-1);
  const pairs = new BigInt64Array(words.buffer);
  for (const first of EDGES) {
    for (const end of EDGES) {
      if (end <= first) continue;
      const masks: [number, number][] = [];
      forDirtyWords(words, pairs, first, end, (word, mask) => masks.push([word, mask]));
      assertEquals(pagesOf(masks), rangeOf(first, end));
    }
  }
});

Deno.test("forDirtyWords() passes over clean words and lets words be cleaned", () => {
  const { words, pairs } = wordsWith(300, 0, 7, 150, 299);
  const seen: number[] = [];
  forDirtyWords(words, pairs, 0, 300 * 32, (word) => {
    seen.push(word);
    words[word] = 0;
  });
  assertEquals(seen, [0, 7, 150, 299]);
});

Deno.test("trailingZeros() and bitCount() know every bit", () => {
  for (let bit = 0; bit < 32; bit++) {
    assertEquals(trailingZeros(1 << bit), bit);
    assertEquals(trailingZeros(-1 << bit), bit);
    assertEquals(bitCount(1 << bit), 1);
    assertEquals(bitCount(-1 << bit), 32 - bit);
    assertEquals(bitCount(-1 >>> bit), 32 - bit);
  }
  assertEquals([bitCount(0), bitCount(0x5555_5555), bitCount(0x1234_5678)], [0, 16, 13]);
});
