/**
 * Why a report lacks something.
 *
 * @module
 */
import type { Report } from "./report.ts";

/** So many names are listed in a note. */
const SEVERAL = 3;

/**
 * Why something was not measured: each reason once, with all that it is the reason of.
 *
 * @param report The report.
 * @param width Characters in a line.
 */
export function formatNotes({ rows }: Report, width: number): string[] {
  const accesses = new Map<string, string[]>();
  for (const { outcome, backend, access, reason } of rows) {
    if (outcome === "measured") continue;
    const key = JSON.stringify([outcome, backend, reason]);
    accesses.set(key, [...accesses.get(key) ?? [], access]);
  }
  const all = new Set(rows.map(({ access }) => access)).size;
  const backends = new Map<string, string[]>();
  for (const [key, list] of accesses) {
    const [outcome, backend, reason] = JSON.parse(key);
    const what = list.length === all ? "everything" : list.join("; ");
    const note = JSON.stringify([outcome, what, reason]);
    backends.set(note, [...backends.get(note) ?? [], backend]);
  }
  return [...backends].flatMap(([note, list]) => {
    const [outcome, what, reason] = JSON.parse(note);
    const whose = list.length > SEVERAL ? `${list.length} kinds of memory` : list.join("; ");
    const mark = outcome === "wrong" ? "wrong" : "-";
    return wrapped(`${mark}  ${whose}, ${what}: ${reason}`, width);
  });
}

/**
 * A text as lines, indented from the second one on.
 *
 * @param text The text.
 * @param width Characters in a line; a longer word has one of its own.
 */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/(?<! ) (?! )/)) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = `   ${word}`;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
