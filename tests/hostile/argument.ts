/** What is given to a call, and what is known of it. */
import type { KnownCodec } from "./codecs.ts";
import type { RealBuffer } from "./buffers.ts";
import type { FaultRange } from "../../src/snapshot/mod.ts";
import type { TestFile } from "./files.ts";
import type { Span } from "./world.ts";

/** An argument. */
export interface Argument {
  readonly value: unknown;
  /** What it is, to find the call again. */
  readonly label: string;
  /** Whether it is of a primitive type that is due nowhere here: it must be refused by its name. */
  readonly wrong?: boolean;
  /** The bytes it really has, where it is a buffer or a stream of one. */
  readonly buffer?: RealBuffer | undefined;
  /** Whether it is a cursor that has `buffer`, and where it begins in it. */
  readonly position?: number;
  /** What is known of a codec that does as it says. */
  readonly codec?: KnownCodec;
  /** The bytes of the world that it refers to, and its receiver may write. */
  readonly spans?: readonly Span[];
  /** The file that it is, or is open on. */
  readonly file?: TestFile;
  /** Whether it is a file, or ranges, of the snapshot of the harness, as they should be. */
  readonly right?: boolean;
  /** What the regions have that it consists of, where that is known. */
  readonly old?: () => readonly (Uint8Array | undefined)[];
  /** The memory whose faults it has, if it is a descriptor of faults. */
  readonly ranges?: readonly FaultRange[];
  /** Whether it has all of a host memory and does with it what it likes, as its author may. */
  readonly wild?: boolean;
}

/** Thrown by hostile arguments, so that it is known where it comes from. */
export class HostileError extends Error {
  override name: string = "HostileError";
}

/** Begins a string that a hostile argument throws. */
export const HOSTILE_TEXT = "hostile: ";
