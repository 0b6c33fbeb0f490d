/**
 * What the process that unplugs regions and its Worker agree on.
 *
 * @module
 */
import { GuestAddress } from "../../../../mod.ts";

/** Bytes of a region, and how many regions there are. */
export const PAGE = 4096;
export const PAGES = 16;

/** The guest address of a region. */
export const gpa = (page: number): GuestAddress => GuestAddress(page * PAGE);

/** The words by which the two threads report where they are. */
export const Control = { READY: 0, STOP: 16, ACCESSES: 32, BYTES: 256 } as const;

/** What the Worker is sent. */
export interface Order {
  /** The file whose pages are the regions. */
  readonly path: string;
  /** The words of {@linkcode Control}. */
  readonly control: SharedArrayBuffer;
}
