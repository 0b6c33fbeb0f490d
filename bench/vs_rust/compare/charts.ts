/**
 * The report as charts.
 *
 * @module
 */
import { byteSize, MIB } from "../../workload.ts";
import { parseCaseName } from "./case_name.ts";
import {
  AHEAD,
  BEHIND,
  draw,
  FRAME,
  INK,
  LIMIT,
  LIMIT_FILL,
  MONO,
  PANEL_TITLE,
  PLAIN_AXIS,
  READ,
  TITLE,
} from "./chart_style.ts";
import { type CopyRow, countAhead, geomeanOf, type Report, type Row } from "./report.ts";

const PANELS_IN_ROW = 4;

/**
 * The time of every case over Rust's.
 *
 * @param report A report with both sides.
 * @returns An SVG picture.
 */
export function ratioChart(report: Report): Promise<string> {
  const { rows, geomean, set, conditions } = report;
  const bars = rows.flatMap((row) => row.ratio === null ? [] : [barOf(row, set[row.name])]);
  const atPlaces = bars.filter(({ place }) => place !== ELSEWHERE);
  const elsewhere = bars.filter(({ place }) => place === ELSEWHERE);
  const panels = unique(atPlaces.map(({ place }) => place)).map((place, i) => ({
    ...ratioPanel(atPlaces.filter((bar) => bar.place === place), domainOf(atPlaces), 150, i === 0),
    title: { ...PANEL_TITLE, text: place },
  }));
  return draw({
    ...FRAME,
    title: {
      ...TITLE,
      text: `Deno takes ${geomean!.toFixed(2)} times as long as Rust, and is ahead in ` +
        `${countAhead(rows)} of ${rows.length} cases`,
      subtitle: [
        "Time of each case of the benchmark suite of vm-memory, in the Rust crate's time: " +
        "left of 1, Deno is faster",
        conditions,
      ],
    },
    spacing: 26,
    vconcat: [
      { spacing: 20, hconcat: panels },
      {
        ...ratioPanel(elsewhere, domainOf(elsewhere), 320, true),
        title: { ...PANEL_TITLE, text: ELSEWHERE },
      },
    ],
  });
}

type Domain = [number, number];

interface Bar {
  readonly operation: string;
  readonly place: string;
  readonly ratio: number;
  readonly ahead: boolean;
  /** What a bare `set` takes, in Rust's time. */
  readonly floor: number | undefined;
  /** Where the figure goes: beyond both. */
  readonly end: number;
}

const ELSEWHERE =
  "256 lookups, and slices by themselves  ( | a bare TypedArray.set of the same bytes )";

function barOf({ name, ratio }: Row, overSet: number | undefined): Bar {
  const { operation, place = ELSEWHERE } = parseCaseName(name);
  const floor = overSet === undefined ? undefined : ratio! / overSet;
  const ahead = ratio! <= 1;
  return {
    operation,
    place,
    ratio: ratio!,
    ahead,
    floor,
    end: ahead ? Math.min(ratio!, floor ?? 1) : Math.max(ratio!, floor ?? 1),
  };
}

// With room for the figures at the ends of the bars.
function domainOf(bars: readonly Bar[]): Domain {
  const ends = bars.map(({ end }) => end);
  return [Math.min(...ends, 0.6) / 1.9, Math.max(...ends, 1.6) * 1.9];
}

// As many as there is room for; where one has no label there is a line.
const RATIO_TICKS = {
  0.0625: "1/16",
  0.125: "",
  0.25: "1/4",
  0.5: "1/2",
  1: "1",
  2: "2",
  4: "4",
  8: "",
  16: "16",
};

function ratioPanel(bars: Bar[], domain: Domain, width: number, labelled: boolean) {
  const y = {
    field: "operation",
    type: "nominal" as const,
    sort: null,
    axis: labelled ? { ...PLAIN_AXIS, labelFont: MONO, labelPadding: 8 } : null,
  };
  const x = {
    field: "ratio",
    type: "quantitative" as const,
    scale: { type: "log" as const, domain },
    axis: {
      ...PLAIN_AXIS,
      values: Object.keys(RATIO_TICKS).map(Number)
        .filter((tick) => domain[0] < tick && tick < domain[1]),
      labelExpr: `${JSON.stringify(RATIO_TICKS)}[datum.value]`,
    },
  };
  const color = { condition: { test: "datum.ahead", value: AHEAD }, value: BEHIND };
  const figures = (ahead: boolean) => ({
    transform: [{ filter: `datum.ahead === ${ahead}` }],
    mark: {
      type: "text" as const,
      align: ahead ? "right" as const : "left" as const,
      dx: ahead ? -4 : 4,
      fontSize: 9.5,
    },
    encoding: { x: { ...x, field: "end" }, y, text: { field: "ratio", format: ".2f" }, color },
  });
  return {
    width,
    height: { step: 18 },
    data: { values: bars },
    layer: [
      {
        mark: { type: "bar" as const, height: 10, cornerRadius: 1 },
        encoding: { x, x2: { datum: 1 }, y, color },
      },
      figures(true),
      figures(false),
      {
        transform: [{ filter: "isValid(datum.floor)" }],
        mark: { type: "tick" as const, color: INK, thickness: 1.5, height: 15 },
        encoding: { x: { ...x, field: "floor" }, y },
      },
      {
        data: { values: [{}] },
        mark: { type: "rule" as const, color: INK, strokeWidth: 1 },
        encoding: { x: { datum: 1, type: "quantitative" as const } },
      },
    ],
  };
}

/**
 * Throughput by size, in each kind of memory, beside memcpy.
 *
 * @param report A report with both sides.
 * @returns An SVG picture.
 */
export function throughputChart({ copies, conditions }: Report): Promise<string> {
  const speeds = copies.flatMap(({ size, deno, rust }) => [size / deno, size / rust!]);
  const domain: Domain = [Math.min(...speeds) * 0.7, Math.max(...speeds) * 1.35];
  const backends = unique(copies.map(({ backend }) => backend));
  const panels = backends.map((backend, i) => ({
    ...throughputPanel(
      copies.filter((row) => row.backend === backend),
      domain,
      i % PANELS_IN_ROW === 0,
    ),
    title: { ...PANEL_TITLE, text: backend },
  }));
  return draw({
    ...FRAME,
    title: {
      ...TITLE,
      text: throughputTitle(copies),
      subtitle: [
        "GB/s by the size of a copy through guest memory, in each kind of memory: " +
        "grey is memcpy in C, the limit",
        conditions,
      ],
    },
    columns: PANELS_IN_ROW,
    spacing: { row: 28, column: 34 },
    concat: panels,
  });
}

function throughputPanel(rows: CopyRow[], domain: Domain, labelled: boolean) {
  const sizes = unique(rows.map(({ size }) => size));
  const names = JSON.stringify(Object.fromEntries(sizes.map((size) => [size, byteSize(size)])));
  const x = {
    field: "size",
    type: "quantitative" as const,
    scale: { type: "log" as const, base: 2, nice: false },
    axis: {
      ...PLAIN_AXIS,
      grid: false,
      labelFlush: false,
      values: [64, 4096, MIB, 64 * MIB],
      labelExpr: `${names}[datum.value]`,
    },
  };
  const y = {
    field: "speed",
    type: "quantitative" as const,
    scale: { type: "log" as const, domain, nice: false },
    axis: {
      ...PLAIN_AXIS,
      values: [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200],
      format: "~g",
      labels: labelled,
    },
  };
  const limit = rows.filter(({ direction }) => direction === "read")
    .map(({ size, rust }) => ({ size, speed: size / rust!, floor: domain[0] }));
  const copied = rows.map(({ size, deno, direction }) => ({
    size,
    speed: size / deno,
    series: `GuestMemory.${direction}`,
  }));
  const color = {
    field: "series",
    type: "nominal" as const,
    scale: { domain: ["GuestMemory.read", "GuestMemory.write"], range: [READ, BEHIND] },
    legend: {
      title: null,
      orient: "top" as const,
      direction: "horizontal" as const,
      symbolType: "stroke",
      symbolStrokeWidth: 3,
      offset: 14,
    },
  };
  return {
    width: 164,
    height: 140,
    layer: [
      {
        data: { values: limit },
        mark: { type: "area" as const, color: LIMIT_FILL, line: { color: LIMIT, strokeWidth: 2 } },
        encoding: { x, y, y2: { field: "floor" } },
      },
      {
        data: { values: copied },
        mark: { type: "line" as const, point: { size: 18 }, strokeWidth: 1.75 },
        encoding: { x, y, color },
      },
    ],
  };
}

function throughputTitle(copies: readonly CopyRow[]): string {
  const large = copies.filter(({ backend, size }) => backend === "anonymous" && size >= MIB);
  const share = Math.round(100 / geomeanOf(large)!);
  return `From 1 MiB on, copies through guest memory reach ${share}% of memcpy's speed`;
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
