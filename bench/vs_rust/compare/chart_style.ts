/**
 * How charts look.
 *
 * @module
 */
import * as vega from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

const FONT = "ui-sans-serif, system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
export const MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
export const INK = "#1f2937";
const FAINT = "#6b7280";
const GRID = "#e5e7eb";
export const AHEAD = "#0f8a7e";
export const BEHIND = "#d9692b";
export const LIMIT = "#aab2bf";
export const LIMIT_FILL = "#f1f3f6";
export const READ = "#2563a8";

export const TITLE = {
  anchor: "start" as const,
  frame: "bounds" as const,
  fontSize: 17,
  fontWeight: 600 as const,
  color: INK as string,
  subtitleColor: FAINT as string,
  subtitleFontSize: 12,
  subtitlePadding: 6,
  offset: 18,
};

export const PANEL_TITLE = {
  anchor: "start" as const,
  frame: "group" as const,
  fontSize: 12,
  fontWeight: 600 as const,
  color: INK as string,
  offset: 6,
};

export const PLAIN_AXIS = {
  title: null,
  domain: false,
  ticks: false,
  labelColor: FAINT as string,
  labelFontSize: 11,
  labelLimit: 260,
  labelOverlap: false,
  gridColor: GRID as string,
};

export const FRAME = {
  $schema: "https://vega.github.io/schema/vega-lite/v6.json",
  background: "white",
  padding: 20,
  config: {
    font: FONT as string,
    view: { stroke: null },
    legend: { labelColor: INK as string, labelFontSize: 12 },
  },
};

/** What `vega` exports for this, but does not declare. */
interface TextMetrics {
  width: (item: { readonly fontSize?: number }, text: unknown) => number;
}

/** Draws a chart, as an SVG picture. */
export async function draw(spec: TopLevelSpec): Promise<string> {
  // Without a canvas vega guesses; the widest letters here are those of fixed width.
  const { textMetrics } = vega as unknown as { readonly textMetrics: TextMetrics };
  textMetrics.width = ({ fontSize = 11 }, text) => String(text).length * fontSize * 0.6;
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: "none" });
  return `${await view.toSVG()}\n`;
}
