/**
 * All checks, one after the other, and their table.
 *
 * @module
 */
import type { Paint } from "../lib/terminal.ts";
import { duration } from "../lib/units.ts";
import type { CheckName } from "./arguments.ts";
import type { Check } from "./check.ts";
import { checkFiles, checkKill, checkRead, checkVerify } from "./disk_checks.ts";
import { reasonToStop } from "../lib/expected_error.ts";
import { Skipped } from "./guest_error.ts";
import type { Host } from "./host.ts";
import { checkControl, checkMigrate } from "./migration_checks.ts";
import { checkPlug } from "./plug_check.ts";

const CHECKS: Readonly<Record<CheckName, Check>> = {
  read: checkRead,
  files: checkFiles,
  verify: checkVerify,
  kill: checkKill,
  plug: checkPlug,
  migrate: checkMigrate,
  control: checkControl,
};

const LOOKS = { ok: "green", skipped: "yellow", FAILED: "red" } as const;

/** What became of a check. */
export interface CheckResult {
  readonly name: CheckName;
  readonly verdict: keyof typeof LOOKS;
  /** What was seen, or why not. */
  readonly detail: string;
  /** Its milliseconds. */
  readonly ms: number;
}

/**
 * Runs checks.
 *
 * @param host What makes their machines.
 * @param names Which.
 * @param onStart Is called with the name of each before it starts.
 * @returns What became of each.
 */
export async function runChecks(
  host: Host,
  names: readonly CheckName[],
  onStart: (name: CheckName, index: number) => void,
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const [index, name] of names.entries()) {
    onStart(name, index);
    const began = performance.now();
    const outcome = await outcomeOf(CHECKS[name], host);
    results.push({ name, ...outcome, ms: performance.now() - began });
  }
  return results;
}

/**
 * The table of results.
 *
 * @param results What became of checks.
 * @param paint Gives the table its colours.
 */
export function formatResults(results: readonly CheckResult[], paint: Paint): string[] {
  return results.map(({ name, verdict, detail, ms }) =>
    [
      name.padEnd(8),
      paint(LOOKS[verdict], verdict.padEnd(8)),
      duration(ms).padStart(8),
      ` ${detail}`,
    ].join(" ")
  );
}

async function outcomeOf(
  check: Check,
  host: Host,
): Promise<Pick<CheckResult, "verdict" | "detail">> {
  try {
    return { verdict: "ok", detail: await check(host) };
  } catch (error) {
    const reason = reasonToStop(error);
    if (reason === undefined) throw error;
    return { verdict: error instanceof Skipped ? "skipped" : "FAILED", detail: reason };
  }
}
