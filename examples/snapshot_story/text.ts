/**
 * What happened, as text and pictures for a terminal.
 *
 * @module
 */
import { drawHalves, drawPages, type Look } from "../lib/page_picture.ts";
import type { Paint } from "../lib/terminal.ts";
import { count, hex, shortDuration, size } from "../lib/units.ts";
import { CANVAS, CANVAS_PAGES, MEMORY_SIZE, PAGE } from "./counter.ts";
import type { Content } from "./pages.ts";
import type { CloneStory, Story } from "./story.ts";

const PAGES = { count: MEMORY_SIZE / PAGE, size: PAGE, columns: CANVAS_PAGES };

const SIZE_WIDTH = 8;

const LOOKS: Readonly<Record<Content | "dirty", Look>> = {
  absent: { glyph: "·", style: "dim" },
  zero: { glyph: "○", style: "blue" },
  data: { glyph: "▒", style: "green" },
  dirty: { glyph: "█", style: "yellow" },
};

/**
 * The story in lines of at most 80 columns, or fewer where pictures have less room.
 *
 * @param story What happened.
 * @param what What counted.
 * @param paint Gives the text its colours.
 * @param width Columns that there are.
 */
export function formatStory(
  story: Story,
  what: string,
  paint: Paint,
  width: number = 80,
): string[] {
  const { base, later } = story;
  const title = (text: string) => paint("bold", text);
  return [
    title(`${capitalized(what)} that counts, in ${size(MEMORY_SIZE)} of memory`),
    "Each character is a page of 4 KiB. Each count writes the next page, from",
    `${hex(CANVAS)} on, every fourth one with zeros.`,
    "",
    title(`1  It has counted to ${base.count}, and pauses: a full snapshot`),
    ...drawPages(PAGES, (page) => LOOKS[base.contents[page]!], paint, width),
    legend({ absent: "never written", zero: "zeros", data: "other data" }, paint),
    ...fullFacts(story),
    "",
    title(`2  It has counted on to ${later.count}: a diff`),
    ...drawPages(
      PAGES,
      (page) => later.dirty.has(page) ? LOOKS.dirty : LOOKS[later.contents[page]!],
      paint,
      width,
    ),
    legend({ dirty: "written since the snapshot: the diff" }, paint),
    ...diffFacts(story),
    "",
    title(`3  ${count(story.clones.length, "clone")}, copy-on-write: each counts on by itself`),
    ...story.clones.flatMap((clone, i) => cloneLines(i + 1, clone, paint, width)),
    `         ${paint("yellow", "▀ ▄ █")} a private copy of a page below ${
      hex(CANVAS)
    }, from there on, of both`,
    ...cloneFacts(story),
    "",
    ...verdict(story, paint),
  ];
}

/** What is not as it has to be. */
export function problemsOf({ clones, later, snapshotCount }: Story): string[] {
  const problems = clones.flatMap(({ count, due }, i) =>
    count === due ? [] : [`clone ${i + 1} has counted to ${count}, not ${due}`]
  );
  if (snapshotCount === later.count) return problems;
  return [...problems, `the snapshot has counted to ${snapshotCount}, not ${later.count}`];
}

function legend(texts: Partial<Record<keyof typeof LOOKS, string>>, paint: Paint): string {
  const parts = Object.entries(texts).map(([kind, text]) => {
    const { glyph, style } = LOOKS[kind as keyof typeof LOOKS];
    return `${paint(style, glyph)} ${text}`;
  });
  return `         ${parts.join("   ")}`;
}

function fullFacts({ base, full, withoutZeros }: Story): string[] {
  const there = base.contents.filter((content) => content !== "absent").length;
  return [
    `   ${there} pages of ${PAGES.count} are there: ${size(full.written)} were written ` +
    `in ${shortDuration(full.time)}.`,
    `   The file has ${size(full.bytes)}, and ${size(full.stored)} are stored. ` +
    `Without zeros it is ${size(withoutZeros.written)}.`,
  ];
}

function diffFacts({ later, diff, apply }: Story): string[] {
  return [
    `   ${count(later.dirty.size, "page")}: ${size(diff.written)} were written ` +
    `in ${shortDuration(diff.time)}, and ${size(diff.stored)} are stored.`,
    `   Applied to the snapshot in ${shortDuration(apply)}.`,
  ];
}

function cloneLines(
  number: number,
  { count, own }: CloneStory,
  paint: Paint,
  width: number,
): string[] {
  const start = `${String(number).padStart(3)}${`→${count}`.padStart(4)} `;
  const room = width - start.length - SIZE_WIDTH;
  const pictures = drawHalves(PAGES.columns, (page) => own.has(page), paint, room);
  return pictures.map((picture, i) => {
    const isLast = i === pictures.length - 1;
    const end = isLast ? size(own.size * PAGE).padStart(SIZE_WIDTH) : "";
    return `${i === 0 ? start : " ".repeat(start.length)}${picture}${end}`;
  });
}

function cloneFacts({ clones }: Story): string[] {
  const [first, ...others] = clones.map(({ access }) => access) as [number, ...number[]];
  const sorted = others.toSorted((a, b) => a - b);
  const rest = sorted.length === 0
    ? ""
    : `, then ${shortDuration(sorted[sorted.length >> 1]!)} (median)`;
  const bytes = clones.reduce((sum, { own }) => sum + own.size * PAGE, 0);
  return [
    `   Restore to first access: ${shortDuration(first)} for the first one${rest}.`,
    `   Together they have ${size(bytes)} of private copies. All else is the file's.`,
  ];
}

function verdict(story: Story, paint: Paint): string[] {
  const problems = problemsOf(story);
  if (problems.length > 0) return problems.map((problem) => paint("red", problem));
  return [
    paint("green", `The snapshot still says ${story.snapshotCount}: no clone has changed it.`),
  ];
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
