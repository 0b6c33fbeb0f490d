/** What is in the files of snapshots, and in memory that was made of them. */
import { createHash } from "node:crypto";
import { AccessDenied, GuestMemoryMmap } from "../../mod.ts";
import { FaultHandler, NotRestoring } from "../../src/snapshot/mod.ts";
import type { Argument } from "./argument.ts";
import { SIZE } from "./backing.ts";
import type { Call } from "./model.ts";
import { same } from "./same.ts";
import { prepared } from "./snapshots.ts";
import { STARTS } from "./world.ts";

/** What is wrong with the files of a call that returned, or with the memory that it made of one. */
export function faultOfFiles(call: Call, result: unknown): string | undefined {
  const { entry, args } = call;
  switch (entry.name) {
    case "writeSnapshot":
    case "snapshotWhileRunning":
      return faultOfWritten(args);
    case "applyDiff":
      return faultOfApplied(args);
    case "verifySnapshot":
      return faultOfVerified(args);
    case "restore":
      return faultOfRestored(args, result);
    default:
      return undefined;
  }
}

function faultOfWritten([memory, file]: readonly Argument[]): string | undefined {
  if (file?.file === undefined) return undefined;
  if (file.file === memory?.file) return "replaced the file that the memory maps";
  if (memory?.old === undefined) return undefined;
  const parts = memory.old();
  if (parts.includes(undefined)) return undefined;
  const { content } = file.file;
  if (content.length !== STARTS.length * SIZE) return `wrote ${content.length} bytes`;
  const index = parts.findIndex((part, i) =>
    !same(content.slice(i * SIZE, (i + 1) * SIZE), part!.slice())
  );
  return index < 0 ? undefined : `wrote other bytes than those of region ${index}`;
}

function faultOfApplied([base, diff]: readonly Argument[]): string | undefined {
  if (base?.right !== true || diff?.right !== true) return undefined;
  return same(base.file!.content, prepared().applied) ? undefined : "made another snapshot";
}

function faultOfVerified([manifest, file]: readonly Argument[]): string | undefined {
  if (file?.file === undefined) return "verified what is no file";
  const { manifest: base, flat, compact } = prepared();
  const all = [base, flat.manifest, compact.manifest];
  const hash = createHash("sha256").update(file.file.content).digest("hex");
  // A copy may have another one each time it is asked.
  const possible = all.find((one) => one === manifest?.value);
  const isRight = (possible === undefined ? all : [possible]).some(({ sha256 }) => sha256 === hash);
  return isRight ? undefined : "verified another file";
}

function faultOfRestored(
  [ranges, file]: readonly Argument[],
  result: unknown,
): string | undefined {
  if (file?.file === undefined || ranges?.right !== true) return undefined;
  const { content } = file.file;
  if (content.length !== STARTS.length * SIZE) return `restored ${content.length} bytes`;
  if (!(result instanceof GuestMemoryMmap)) return "returned no memory";
  if (isLoading(result)) return undefined;
  const bytes = new Uint8Array(SIZE);
  for (const [i, start] of STARTS.entries()) {
    try {
      result.readSlice(bytes, start);
    } catch (error) {
      if (error instanceof AccessDenied) return undefined;
      throw error;
    }
    if (!same(bytes, content.slice(i * SIZE, (i + 1) * SIZE))) return `restored other bytes`;
  }
  return undefined;
}

// Who touches a page that nobody loads waits.
function isLoading(memory: GuestMemoryMmap): boolean {
  try {
    FaultHandler.of(memory);
    return true;
  } catch (error) {
    if (error instanceof NotRestoring) return false;
    throw error;
  }
}
