/**
 * What a migration prints.
 *
 * @module
 */
import type { Paint } from "../lib/terminal.ts";
import { count, duration, grouped, size as sizeText, speed } from "../lib/units.ts";
import type { Options } from "./arguments.ts";
import type { Migration, Outcome, Round } from "./source.ts";

/** What `--json` prints: see `USAGE` for each field. */
export interface Report
  extends Pick<Options, "size" | "transport" | "tracker" | "rate">, Migration {
  readonly stepsThere: number;
  readonly resident: number;
  readonly sha256: readonly [source: string, destination: string];
  readonly ok: boolean;
}

/** Puts the report together. */
export function reportOf(
  { size, transport, tracker, rate }: Options,
  migration: Migration,
  { steps: stepsThere, resident }: Outcome,
  sums: readonly [source: Uint8Array, destination: Uint8Array],
): Report {
  const sha256 = [sums[0].toHex(), sums[1].toHex()] as const;
  const ok = sha256[0] === sha256[1];
  return {
    ...{ size, transport, tracker, rate },
    ...migration,
    ...{ stepsThere, resident, sha256, ok },
  };
}

const TITLES = ["round", "sent", "runs", "time", "speed", "dirty then"];
const WIDTHS = [5, 11, 9, 9, 13, 12];

/** The lines before the rounds. */
export function formatHead({ size, rate, transport, tracker }: Options, paint: Paint): string[] {
  const over = transport === "unix" ? "a Unix socket" : "TCP";
  return [
    paint("bold", `A guest of ${sizeText(size)} moves over ${over}`) +
    paint("dim", `, at ${count(rate, "write")}/s that ${FINDER[tracker]}`),
    "",
    paint("dim", columns(TITLES)),
  ];
}

const FINDER = { bitmap: "bitmaps mark", kernel: "the kernel tracks", kvm: "KVM tracks" };

/** The line of a round. */
export function formatRound({ bytes, runs, ms, dirty }: Round, index: number): string {
  const numbers = [sizeText(bytes), grouped(runs), duration(ms), speed(bytes, ms)];
  return columns([`${index + 1}`, ...numbers, sizeText(dirty)]);
}

/** The lines after the rounds. */
export function formatTail(report: Report, paint: Paint): string[] {
  const { downtime, steps, stepsThere, size, resident, sha256, ok, rounds } = report;
  const { ms, pauseMs, takeMs, sendMs, resumeMs } = downtime;
  const parts = [
    `pause ${duration(pauseMs)}`,
    `find what is dirty ${duration(takeMs)}`,
    `round ${rounds.length} ${duration(sendMs)}`,
    `resume ${duration(resumeMs)}`,
  ];
  const [source, destination] = sha256;
  return [
    "",
    `downtime     ${paint("bold", duration(ms))}`,
    `             ${paint("dim", parts.join(", "))}`,
    `absent       ${sizeText(size - resident)} of the destination, never sent`,
    `guest        ${count(steps, "write")} here, then ${grouped(stepsThere - steps)} there`,
    `SHA-256 here   ${source}`,
    `SHA-256 there  ${destination}`,
    ok ? paint("green", "the memory is the same") : paint("red", "the memory DIFFERS"),
  ];
}

function columns(texts: readonly string[]): string {
  return texts.map((text, i) => text.padStart(WIDTHS[i]!)).join("");
}
