import { assertEquals, assertNotEquals } from "@std/assert";
import { giveWordsBack, SHARED_WORDS, takeWords, wordsAt } from "../../ffi/shared_words.ts";

Deno.test("takeWords() gives words that are zero, each their own, which others find", () => {
  const taken = Array.from({ length: 200 }, takeWords);
  assertEquals(new Set(taken.map(({ address }) => address)).size, 200);
  for (const [i, { words }] of taken.entries()) {
    assertEquals([words.length, words.some((word) => word !== 0)], [SHARED_WORDS, false]);
    words.fill(i + 1);
  }
  for (const [i, { address, words }] of taken.entries()) {
    assertEquals(new Set(wordsAt(address)), new Set([i + 1]));
    words.fill(0);
    giveWordsBack({ address, words });
  }
});

Deno.test("giveWordsBack() lets the next one have the words", () => {
  const taken = takeWords();
  giveWordsBack(taken);
  const { address } = takeWords();
  assertEquals(address, taken.address);
  assertNotEquals(takeWords().address, address);
});
