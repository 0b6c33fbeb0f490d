/**
 * How much memory the comparison may take.
 *
 * @module
 */
import { size as sizeText } from "../lib/units.ts";
import { BackingsError, reasonOf } from "./backings_error.ts";

const SHARE = 3 / 4;
// Private copies beside a file on tmpfs are the most that there is at a time.
const COPIES = 2;
const OTHER = 2 ** 26;

/**
 * Checks that there is enough memory.
 *
 * @param size Bytes of each mapping.
 * @throws {BackingsError} More than 3/4 of what is available would be taken, or it cannot be seen.
 */
export function ensureEnough(size: number): void {
  const needed = size * COPIES + OTHER;
  const allowed = Math.floor(available() * SHARE);
  if (needed <= allowed) return;
  throw new BackingsError(
    `mappings of ${sizeText(size)} take up to ${sizeText(needed)}, and 3/4 of what is available ` +
      `is ${sizeText(allowed)} (see --size)`,
  );
}

function available(): number {
  try {
    return Math.min(Deno.systemMemoryInfo().available, ...groupLimits());
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined) throw error;
    throw new BackingsError(`cannot see how much memory is available: ${reason}`, { cause: error });
  }
}

// What the control groups of the process leave, as in a container.
function* groupLimits(): Generator<number> {
  const path = /^0::(.*)$/m.exec(read("/proc/self/cgroup"))?.[1] ?? "";
  const parts = path.split("/").filter((part) => part !== "");
  for (let count = parts.length; count >= 0; count--) {
    const group = ["/sys/fs/cgroup", ...parts.slice(0, count)].join("/");
    const limit = parseInt(read(`${group}/memory.max`));
    if (Number.isFinite(limit)) yield limit - parseInt(read(`${group}/memory.current`));
  }
}

// Files that do not exist, or may not be read, say nothing of a limit.
function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (reasonOf(error) === undefined) throw error;
    return "";
  }
}
