/** What methods are called on. */
import type { KnownCodec } from "./codecs.ts";
import type { Random } from "./random.ts";
import type { Span } from "./world.ts";

/** An object whose methods are called. */
export interface Subject {
  readonly object: object;
  readonly label: string;
  /** An address that is in it, mostly. */
  address(random: Random): number;
  /** The bytes of a range of it, as far as it goes; where its addresses mean bytes. */
  resolve?(addr: number, count: number): readonly Span[];
  /** All of its bytes, where it is no larger than a region. */
  readonly spans?: readonly Span[];
  /** Where accesses begin, if it has no addresses: it is a stream of bytes. */
  readonly at?: number;
  /** The bytes that its methods may write, where their arguments do not say so. */
  readonly writes?: readonly Span[];
  /** The codec of what it refers to. */
  readonly codec?: KnownCodec;
}
