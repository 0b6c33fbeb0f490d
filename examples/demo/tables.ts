/**
 * The regions of guest memory and the segments in it, as tables.
 *
 * @module
 */
import { GuestAddress, type GuestMemory } from "@vmm/guest-memory";
import { LOADED, look, ZEROED } from "./memory_picture.ts";
import type { PlacedSegment } from "./placement.ts";
import type { Paint, Style } from "../lib/terminal.ts";
import { count, hex, range, size } from "../lib/units.ts";

/** Segments that are listed; a file may have 65,534. */
const SEGMENTS_SHOWN = 16;
/** Digits of a hash that are shown: as many as fit beside the longest addresses. */
const HASH_DIGITS = 12;

/**
 * A line for each region and each hole.
 *
 * @param memory The memory.
 * @param segments What was loaded into it.
 * @param resident Bytes of each region in the host's RAM, by its start.
 * @param paint Gives the text its colours.
 */
export function regionTable(
  memory: GuestMemory,
  segments: readonly PlacedSegment[],
  resident: ReadonlyMap<GuestAddress, number>,
  paint: Paint,
): string[] {
  const rows: Cell[][] = [
    header(
      "",
      "guest addresses",
      "size",
      `${LOADED} loaded`,
      "resident",
      "host address",
    ),
  ];
  let [index, end] = [0, 0];
  for (const { startAddr, len } of memory) {
    if (startAddr > end) {
      rows.push(header("hole", range(end, startAddr - end), size(startAddr - end)));
    }
    end = startAddr + len;
    rows.push([
      { text: `RAM ${index++}`, style: "bold" },
      { text: range(startAddr, len) },
      { text: size(len), right: true },
      { text: size(bytesBetween(segments, startAddr, end)), right: true },
      { text: size(resident.get(startAddr) ?? 0), right: true },
      { text: hex(memory.getHostAddress(GuestAddress(startAddr))) },
    ]);
  }
  return layOut(rows, paint);
}

/**
 * A line for each segment, with the hash that memory and file have in common.
 *
 * @param segments The segments.
 * @param hashes The SHA-256 of each.
 * @param paint Gives the text its colours.
 */
export function segmentTable(
  segments: readonly PlacedSegment[],
  hashes: readonly string[],
  paint: Paint,
): string[] {
  const rows = segments.slice(0, SEGMENTS_SHOWN).map((segment, i): Cell[] => {
    const { glyph, style } = look(segment);
    const { index, access, start, length, fileSize } = segment;
    const isVerified = fileSize > 0;
    return [
      { text: `${glyph} ${index}`, style },
      { text: access, style },
      { text: range(start, length) },
      { text: size(fileSize), right: true },
      { text: size(length - fileSize), right: true },
      { text: isVerified ? `✓ ${hashes[i]!.slice(0, HASH_DIGITS)}` : "" },
    ];
  });
  const names = header(
    "",
    "",
    "guest addresses",
    "in file",
    `${ZEROED} zeroed`,
    "SHA-256, read back",
  );
  const hidden = segments.length - rows.length;
  return [
    ...layOut([names, ...rows], paint),
    ...(hidden > 0 ? [`  … and ${count(hidden, "more segment")}`] : []),
  ];
}

interface Cell {
  readonly text: string;
  readonly style?: Style;
  /** Whether it ends where its column ends. */
  readonly right?: boolean;
}

function header(...texts: (string | undefined)[]): Cell[] {
  return texts.map((text = "") => ({ text, style: "dim" }));
}

/** Gives each column the width that its cells need; a column without text vanishes. */
function layOut(rows: readonly Cell[][], paint: Paint): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach(({ text }, i) => widths[i] = Math.max(widths[i] ?? 0, text.length));
  }
  const isRight = widths.map((_, i) => rows.some((row) => row[i]?.right));
  return rows.map((row) => {
    const cells = row.map(({ text, style = "plain" }, i) => {
      if (widths[i] === 0) return "";
      const room = " ".repeat(widths[i]! - text.length);
      return isRight[i] ? `  ${room}${paint(style, text)}` : `  ${paint(style, text)}${room}`;
    });
    return cells.join("").trimEnd();
  });
}

function bytesBetween(segments: readonly PlacedSegment[], start: number, end: number): number {
  return segments.reduce((sum, segment) => {
    const last = Math.min(end, segment.start + segment.fileSize);
    return sum + Math.max(0, last - Math.max(start, segment.start));
  }, 0);
}
