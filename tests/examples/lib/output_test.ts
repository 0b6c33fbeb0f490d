import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { columnsOf, fold } from "../../../examples/lib/output.ts";
import { painter } from "../../../examples/lib/terminal.ts";

Deno.test("fold() breaks a line at its spaces, and keeps the indentation", () => {
  assertEquals(fold("one line", 8), ["one line"]);
  assertEquals(fold("", 8), [""]);
  assertEquals(fold("three words, and more", 12), ["three words,", "and more"]);
  assertEquals(fold("three words, and more", 13), ["three words,", "and more"]);
  assertEquals(fold("  two or three", 8), ["  two or", "  three"]);
  assertEquals(fold("  two  three", 7), ["  two", "  three"]);
});

Deno.test("fold() breaks a word that is longer than a line", () => {
  assertEquals(fold("0123456789", 4), ["0123", "4567", "89"]);
  assertEquals(fold("  0123456789", 6), ["  0123", "  4567", "  89"]);
});

Deno.test("fold() counts no column for a colour", () => {
  const paint = painter(true);
  const line = `${paint("bold", "four")} ${paint("red", "word")}`;
  assertEquals(fold(line, 9), [line]);
  assertEquals(fold(line, 8).map((part) => columnsOf(part)), [4, 4]);
  assertEquals(fold(line, 8).join(" "), line);
});

Deno.test("fold() loses no word, and no line is too wide", () => {
  const lines = fc.stringMatching(/^ {0,3}([a-z█·]{1,12} {1,2}){0,9}[a-z]*$/);
  fc.assert(fc.property(lines, fc.integer({ min: 8, max: 40 }), (line, columns) => {
    const folded = fold(line, columns);
    for (const part of folded) assert(columnsOf(part) <= columns, `${part} of ${columns}`);
    assertEquals(folded.join("").replaceAll(" ", ""), line.replaceAll(" ", ""));
  }));
});
