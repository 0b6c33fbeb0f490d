/**
 * What the server sends to the page, beside JSON texts: runs of pages, as binary messages.
 *
 * @module
 */
import type { DatedRun } from "./page_map.ts";
import type { PageState } from "./page_runs.ts";

/** What a message is. */
export const MessageKind = { whole: 1, changes: 2 } as const;

/** A binary message. */
export interface RunMessage {
  /** Whether it is all that is known, or what is new. */
  readonly kind: number;
  /** The source's time, in ms. */
  readonly at: number;
  /** How long the look at the memory took, in µs. */
  readonly microseconds: number;
  /** Pages that are there. */
  readonly resident: number;
  /** Pages that changed. */
  readonly changed: number;
  readonly runs: readonly DatedRun[];
}

/** The first text: what is shown. */
export interface Hello {
  readonly title: string;
  readonly about: string;
  readonly pageSize: number;
  readonly pages: number;
  /** Number of the first page, how many, and the guest address of the first. */
  readonly regions: readonly (readonly [firstPage: number, pages: number, startAddr: number])[];
  readonly writers: { readonly guest: string; readonly host?: string };
  readonly look: string;
  /** The source's time, in ms. */
  readonly now: number;
  readonly marks: readonly { readonly at: number; readonly text: string }[];
}

/** Each later text. */
export type Note =
  | { readonly mark: { readonly at: number; readonly text: string } }
  | { readonly ended: string };

// Words of 32 bits, little-endian: kind, at, microseconds, resident, changed; then for each run first,
// count, state, at.
const HEAD = 5;
const RUN = 4;

/** A message as bytes. */
export function encodeRuns(message: RunMessage): ArrayBuffer {
  const { kind, at, microseconds, resident, changed, runs } = message;
  const words = new Uint32Array(HEAD + RUN * runs.length);
  words.set([kind, at, microseconds, resident, changed]);
  let i = HEAD;
  for (const run of runs) {
    words[i++] = run.first;
    words[i++] = run.count;
    words[i++] = run.state;
    words[i++] = run.at;
  }
  return words.buffer;
}

/**
 * The message in bytes.
 *
 * @throws {RangeError} They are none.
 */
export function decodeRuns(bytes: ArrayBuffer): RunMessage {
  const words = new Uint32Array(bytes);
  if (words.length < HEAD || (words.length - HEAD) % RUN !== 0) {
    throw new RangeError(`Cannot decode ${bytes.byteLength} bytes: not a message of runs`);
  }
  const [kind, at, microseconds, resident, changed] = words as unknown as number[];
  const runs: DatedRun[] = [];
  for (let i = HEAD; i < words.length; i += RUN) {
    const state = words[i + 2]! as PageState;
    runs.push({ first: words[i]!, count: words[i + 1]!, state, at: words[i + 3]! });
  }
  return {
    kind: kind!,
    at: at!,
    microseconds: microseconds!,
    resident: resident!,
    changed: changed!,
    runs,
  };
}
