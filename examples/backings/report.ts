/**
 * The whole comparison.
 *
 * @module
 */
import { cpus } from "node:os";
import { BATCH } from "./arguments.ts";
import { reasonOf } from "./backings_error.ts";
import type { Candidate } from "./candidates.ts";
import { type Conditions, measure, type Row, turn } from "./measure.ts";
import { type Unseen, whatIsUnseen } from "./residence.ts";

/** What is printed: see `USAGE` for each field. */
export interface Report {
  readonly size: number;
  readonly host: string;
  readonly batch: number;
  readonly copied: number;
  readonly unseen: Unseen;
  readonly ok: boolean;
  readonly rows: readonly Row[];
}

const MOST_COPIED = 2 ** 24;
const WARM_UP_SIZE = 8 * BATCH;

/**
 * Measures every candidate in turn.
 *
 * @param candidates The candidates.
 * @param size Bytes of each mapping.
 * @param onCandidate Called before each with its index.
 * @throws {LibcUnavailable} Nothing can be mapped.
 */
export async function compare(
  candidates: readonly Candidate[],
  size: number,
  onCandidate: (index: number) => void,
): Promise<Report> {
  const copied = Math.min(size, MOST_COPIED);
  const buffer = new Uint8Array(copied).fill(1);
  const unseen = whatIsUnseen();
  await warmUp(candidates[0]!, { size: Math.min(size, WARM_UP_SIZE), buffer, unseen });
  const rows: Row[] = [];
  for (const [index, candidate] of candidates.entries()) {
    onCandidate(index);
    await turn();
    rows.push(await measure(candidate, { size, buffer, unseen }));
  }
  const ok = rows.every(({ problems }) => problems.length === 0);
  return { size, host: hostName(), batch: BATCH, copied, unseen, ok, rows };
}

// V8 compiles the loops here, and not in the first row.
async function warmUp(candidate: Candidate, conditions: Conditions): Promise<void> {
  const { size } = conditions;
  const buffer = conditions.buffer.subarray(0, size);
  for (const touch of ["read", "write"] as const) {
    const { map, name } = candidate;
    await measure({ name, map, touch }, { ...conditions, buffer });
  }
}

function hostName(): string {
  const { os, arch } = Deno.build;
  const processors = navigator.hardwareConcurrency;
  return [
    `${os} ${known(() => Deno.osRelease())} ${arch}`.replace("  ", " "),
    `${processors} × ${known(() => cpus()[0]!.model) || "CPU"}`,
    `Deno ${Deno.version.deno}`,
  ].join(", ");
}

// Without the permission for it, the text is empty.
function known(ask: () => string): string {
  try {
    return ask();
  } catch (error) {
    if (reasonOf(error) === undefined) throw error;
    return "";
  }
}
