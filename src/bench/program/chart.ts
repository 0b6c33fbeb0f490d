/**
 * A report as a picture: a bar for each ratio.
 *
 * @module
 */
import type { BenchmarkRow } from "../benchmark.ts";
import { formatTime } from "../time_text.ts";
import { accessesOf, conditionsOf, ratioText, type Report, shortened } from "./report.ts";

const WIDTH = 960;
const MARGIN = 24;
const GAP = 28;
const PANEL_WIDTH = (WIDTH - 2 * MARGIN - GAP) / 2;
const HEAD = 92;
const ROW = 16;
const PANEL_HEAD = 24;
const PANEL_FOOT = 30;
/** The space of a name, and right of the longest bar, that of its ratio. */
const NAMES = 190;
const FIGURE = 44;

const STYLE = `
    svg { --back: #ffffff; --ink: #1f2937; --faint: #5b6472; --grid: #e5e7eb; --bar: #aab2bf;
      --yours: #0f8a7e; --wrong: #c2410c; }
    @media (prefers-color-scheme: dark) {
      svg { --back: #0d1117; --ink: #e6edf3; --faint: #9aa4b2; --grid: #262d38; --bar: #566072;
        --yours: #2fb8aa; --wrong: #fb8a4c; }
    }
    text { font: 11px ui-sans-serif, system-ui, "Segoe UI", Roboto, Arial, sans-serif;
      fill: var(--ink); }
    .title { font-size: 17px; font-weight: 600; }
    .panel { font-size: 12px; font-weight: 600; }
    .faint { fill: var(--faint); }
    .yours { fill: var(--yours); font-weight: 600; }
    .wrong { fill: var(--wrong); font-weight: 600; }
    .end { text-anchor: end; }
    .middle { text-anchor: middle; }
    .back { fill: var(--back); }
    .bar { fill: var(--bar); }
    .grid { stroke: var(--grid); }
    .base { stroke: var(--faint); }`;

/**
 * Draws the ratios of a report: a panel for each access, a bar for each backend.
 *
 * @param report The report.
 * @returns An SVG picture, which is light or dark as its reader's system is.
 */
export function drawChart(report: Report): string {
  const scale = scaleOf(report);
  const panels = accessesOf(report).map((access) => {
    const rows = report.rows.filter((row) => row.access === access);
    // What is missing in this library's own kinds is no news.
    return rows.filter((row) =>
      row.outcome !== "unavailable" || report.yours.includes(row.backend)
    );
  }).filter((rows) => rows.length > 0);
  const parts: string[] = [];
  let top = HEAD;
  for (let i = 0; i < panels.length; i += 2) {
    const pair = panels.slice(i, i + 2);
    for (const [column, rows] of pair.entries()) {
      const left = MARGIN + column * (PANEL_WIDTH + GAP);
      parts.push(drawPanel(rows, report.yours, scale, left, top));
    }
    top += PANEL_HEAD + PANEL_FOOT + Math.max(...pair.map(({ length }) => length)) * ROW;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${top}" ` +
    `viewBox="0 0 ${WIDTH} ${top}" role="img">
  <title>Accesses of guest memory, beside a bare typed array</title>
  <style>${STYLE}
  </style>
  <rect class="back" width="${WIDTH}" height="${top}"/>
  ${drawHead(report)}
  ${parts.join("\n  ")}
</svg>
`;
}

function drawHead(report: Report): string {
  const yours = report.yours.length > 0 ? ". Coloured: your own memory" : "";
  return [
    text(MARGIN, 34, "title", "Accesses of guest memory, beside a bare typed array"),
    text(
      MARGIN,
      54,
      "faint",
      `Times as a multiple of the array's, on a logarithmic scale: below 1 is faster${yours}`,
    ),
    text(MARGIN, 70, "faint", conditionsOf(report)),
  ].join("\n  ");
}

/** Where a ratio is, from the left end of the bars, and the ratios that have a line. */
interface Scale {
  readonly at: (ratio: number) => number;
  readonly lines: readonly number[];
}

// Logarithmic, as a custom memory may take a thousand times as long as an array.
function scaleOf({ rows }: Report): Scale {
  const ratios = rows.flatMap(({ ratio }) => ratio ?? []);
  const low = Math.min(0.5, ...ratios);
  const high = Math.max(10, ...ratios);
  const room = PANEL_WIDTH - NAMES - FIGURE;
  const steps = high <= 20
    ? [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]
    : [0.01, 0.1, 1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7];
  return {
    at: (ratio) => Math.log(ratio / low) / Math.log(high / low) * room,
    lines: steps.filter((step) => step >= low && step <= high),
  };
}

function drawPanel(
  rows: readonly BenchmarkRow[],
  yours: readonly string[],
  { at, lines }: Scale,
  left: number,
  top: number,
): string {
  const { access, bareNs } = rows[0]!;
  const zero = left + NAMES;
  const first = top + PANEL_HEAD - 6;
  const last = first + rows.length * ROW;
  const axis = lines.map((line) => {
    const x = zero + at(line);
    const kind = line === 1 ? "base" : "grid";
    return `<path class="${kind}" d="M${rounded(x)} ${first}V${last + 2}"/>` +
      text(x, last + 14, "faint middle", line.toLocaleString("en"));
  });
  const bars = rows.map((row, i) =>
    drawBar(row, yours.includes(row.backend), zero, at, first + i * ROW)
  );
  return `<g>${
    [
      text(left, top + 10, "panel", access),
      text(left + PANEL_WIDTH, top + 10, "faint end", `array: ${formatTime(bareNs)}`),
      ...axis.filter((_, i) => lines[i] !== 1),
      ...bars,
      // Above the bars, which begin there.
      ...axis.filter((_, i) => lines[i] === 1),
    ].join("\n    ")
  }</g>`;
}

function drawBar(
  { backend, outcome, ratio, reason }: BenchmarkRow,
  isYours: boolean,
  zero: number,
  at: Scale["at"],
  top: number,
): string {
  const base = zero + at(1);
  const name = text(zero - 8, top + 12, isYours ? "end yours" : "end", shortened(backend));
  if (outcome !== "measured") {
    const [kind, shown] = outcome === "wrong" ? ["wrong", "wrong"] : ["faint", "not available"];
    return `${name}<g><title>${escaped(reason ?? "")}</title>${
      text(base + 5, top + 12, kind!, shown!)
    }</g>`;
  }
  const end = zero + at(ratio!);
  const x = Math.min(base, end);
  const width = Math.abs(end - base);
  return `${name}<rect class="${isYours ? "yours" : "bar"}" x="${rounded(x)}" y="${top + 3}" ` +
    `width="${rounded(width)}" height="${ROW - 6}" rx="1"/>` +
    text(Math.max(base, end) + 5, top + 12, isYours ? "yours" : "", ratioText(ratio!));
}

function text(x: number, y: number, kind: string, content: string): string {
  const attribute = kind === "" ? "" : ` class="${kind}"`;
  return `<text x="${rounded(x)}" y="${y}"${attribute}>${escaped(content)}</text>`;
}

function rounded(x: number): string {
  return `${Math.round(x * 10) / 10}`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    // What XML has no way to write.
    // deno-lint-ignore no-control-regex
    .replaceAll(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "");
}
