/**
 * The times as a chart.
 *
 * @module
 */
import * as vega from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { size as sizeText } from "../lib/units.ts";
import type { Row } from "./measure.ts";
import type { Report } from "./report.ts";

const FONT = "ui-sans-serif, system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
const INK = "#1f2937";
const FAINT = "#6b7280";
const GRID = "#e5e7eb";
const FIRST = "#2563a8";
const AGAIN = "#d9692b";
const COPY = "#0f8a7e";

interface Measure {
  readonly title: string;
  readonly color: string;
  readonly value: (row: Row) => number | null;
  readonly digits: number;
}

const MEASURES: readonly Measure[] = [
  {
    title: "First touch, µs",
    color: FIRST,
    value: (row) => row.firstTouchUs,
    digits: 2,
  },
  {
    title: "Touch after a discard, µs",
    color: AGAIN,
    value: (row) => row.againTouchUs,
    digits: 2,
  },
  { title: "Copy, GiB/s", color: COPY, value: (row) => row.copyGibPerS, digits: 1 },
];

/**
 * Draws bars of the three times for each backing. Where there is no time, it says why.
 *
 * @param report The comparison.
 * @returns An SVG picture.
 */
export async function drawChart({ rows, size, host }: Report): Promise<string> {
  // One scale for the first two, so that they compare.
  const times = rows.flatMap((row) => [row.firstTouchUs ?? 0, row.againTouchUs ?? 0]);
  const speeds = rows.map((row) => row.copyGibPerS ?? 0);
  const most = [Math.max(...times), Math.max(...times), Math.max(...speeds)];
  const spec: TopLevelSpec = {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    padding: 20,
    config: { font: FONT, view: { stroke: null } },
    title: {
      anchor: "start",
      frame: "bounds",
      fontSize: 17,
      fontWeight: 600,
      color: INK,
      subtitleColor: FAINT,
      subtitleFontSize: 12,
      subtitlePadding: 6,
      offset: 18,
      text: "What memory costs, by its backing and options",
      subtitle: [`${sizeText(size)} in each; times for 4 KiB, the best of small batches`, host],
    },
    spacing: 24,
    hconcat: MEASURES.map((measure, i) => panel(measure, rows, most[i]!, i === 0)),
  };
  // Without a canvas vega guesses; the widest letters here are those of fixed width.
  const { textMetrics } = vega as unknown as { readonly textMetrics: TextMetrics };
  textMetrics.width = ({ fontSize = 11 }, text) => String(text).length * fontSize * 0.6;
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: "none" });
  return `${await view.toSVG()}\n`;
}

/** What `vega` exports for this, but does not declare. */
interface TextMetrics {
  width: (item: { readonly fontSize?: number }, text: unknown) => number;
}

function panel(
  { title, color, value, digits }: Measure,
  rows: readonly Row[],
  most: number,
  isFirst: boolean,
) {
  const axis = {
    title: null,
    domain: false,
    ticks: false,
    labelFontSize: 11,
    labelLimit: 300,
    labelOverlap: false,
    gridColor: GRID,
  };
  const y = {
    field: "name",
    type: "nominal" as const,
    sort: null,
    axis: isFirst ? { ...axis, labelColor: INK, labelPadding: 8 } : null,
  };
  const x = {
    field: "value",
    type: "quantitative" as const,
    // With room for the figures at the ends of the bars.
    scale: { domain: [0, most * 1.2], nice: false },
    axis: { ...axis, labelColor: FAINT, tickCount: 4 },
  };
  return {
    width: 190,
    height: { step: 18 },
    title: {
      anchor: "start" as const,
      frame: "group" as const,
      fontSize: 12,
      fontWeight: 600 as const,
      color: INK,
      offset: 6,
      text: title,
    },
    data: {
      values: rows.map((row) => ({
        name: row.name,
        value: value(row) ?? 0,
        label: value(row)?.toFixed(digits) ?? (row.granted ? "no discard" : "refused"),
        isMissing: value(row) === null,
      })),
    },
    layer: [
      {
        mark: { type: "bar" as const, height: 11, cornerRadius: 1, color },
        encoding: { x, y },
      },
      {
        mark: { type: "text" as const, align: "left" as const, dx: 4, fontSize: 9.5 },
        encoding: {
          x,
          y,
          text: { field: "label", type: "nominal" as const },
          color: { condition: { test: "datum.isMissing", value: FAINT }, value: INK },
        },
      },
    ],
  };
}
