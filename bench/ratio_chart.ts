/**
 * Tables as a chart of ratios.
 *
 * @module
 */
import type { Row } from "../src/bench/row.ts";
import {
  AHEAD,
  BEHIND,
  draw,
  FRAME,
  INK,
  PANEL_TITLE,
  PLAIN_AXIS,
  TITLE,
} from "./vs_rust/compare/chart_style.ts";

/** A table that was printed. */
export interface Table {
  readonly title: string;
  readonly rows: readonly Row[];
}

/**
 * The time of each row that has a rival, over that of the rival.
 *
 * @param title What the chart shows.
 * @param conditions Where and how it was measured.
 * @param tables The tables, each a panel.
 * @param aims Which ratio a row should have at most, by its name.
 * @returns An SVG picture.
 */
export function ratiosChart(
  title: string,
  conditions: string,
  tables: readonly Table[],
  aims: ReadonlyMap<string, number>,
): Promise<string> {
  const panels = tables.map(({ title, rows }) => ({ title, bars: rows.flatMap(barsOf) }))
    .filter(({ bars }) => bars.length > 0);
  return draw({
    ...FRAME,
    title: {
      ...TITLE,
      text: title,
      subtitle: [
        "Time of this library, in the rival's time, both in one run: left of 1 it is faster. " +
        "A short line is the aim",
        conditions,
      ],
    },
    spacing: 22,
    vconcat: panels.map(({ title, bars }) => panel(title, bars)),
  });

  function barsOf({ name, rival, ratio }: Row): Bar[] {
    if (ratio === null) return [];
    const aim = aims.get(name);
    const end = Math.max(ratio, aim ?? 0);
    return [{ name: `${name}  (${rival})`, ratio, aim, end, ahead: ratio <= (aim ?? 1) }];
  }
}

interface Bar {
  readonly name: string;
  readonly ratio: number;
  readonly aim: number | undefined;
  /** Where the figure goes: beyond both. */
  readonly end: number;
  readonly ahead: boolean;
}

// A bar that is longer ends there: its figure says how long it is.
const DOMAIN = [0, 2.5];

function panel(title: string, bars: Bar[]) {
  const y = {
    field: "name",
    type: "nominal" as const,
    sort: null,
    axis: { ...PLAIN_AXIS, labelLimit: 520, labelPadding: 8 },
  };
  const x = {
    field: "ratio",
    type: "quantitative" as const,
    scale: { domain: DOMAIN, nice: false, clamp: true },
    axis: PLAIN_AXIS,
  };
  const color = { condition: { test: "datum.ahead", value: AHEAD }, value: BEHIND };
  return {
    width: 300,
    height: { step: 20 },
    title: { ...PANEL_TITLE, text: title },
    data: { values: bars },
    layer: [
      {
        mark: { type: "bar" as const, height: 11, cornerRadius: 1 },
        encoding: { x, y, color },
      },
      {
        mark: { type: "text" as const, align: "left" as const, dx: 4, fontSize: 10 },
        encoding: {
          x: { ...x, field: "end" },
          y,
          text: { field: "ratio", format: ".2f" },
          color,
        },
      },
      {
        transform: [{ filter: "isValid(datum.aim)" }],
        mark: { type: "tick" as const, color: INK, thickness: 1.5, height: 16 },
        encoding: { x: { ...x, field: "aim" }, y },
      },
      {
        data: { values: [{}] },
        mark: { type: "rule" as const, color: INK, strokeWidth: 1 },
        encoding: { x: { datum: 1, type: "quantitative" as const } },
      },
    ],
  };
}
