/**
 * What may be done with memory.
 *
 * @module
 */

/** A set of rights to memory: the bits 1 (read) and 2 (write). Mirrors the enum `Permissions`. */
export type Permissions = 0 | 1 | 2 | 3;

/**
 * The sets of rights, and questions to ask of them. Mirrors the enum `Permissions`.
 *
 * @example
 * ```ts
 * import { Permissions } from "@vmm/guest-memory";
 * import { assert, assertFalse } from "@std/assert";
 *
 * assert(Permissions.allow(Permissions.ReadWrite, Permissions.Read));
 * assertFalse(Permissions.hasWrite(Permissions.Read));
 * ```
 */
export const Permissions: {
  /** No right at all. */
  readonly No: 0;
  /** The right to read. */
  readonly Read: 1;
  /** The right to write. */
  readonly Write: 2;
  /** Both. */
  readonly ReadWrite: 3;
  /** Whether `granted` includes all of `wanted`. Everything allows {@linkcode Permissions.No}. */
  allow(granted: Permissions, wanted: Permissions): boolean;
  /** Whether the set includes the right to write. */
  hasWrite(granted: Permissions): boolean;
} = {
  No: 0,
  Read: 1,
  Write: 2,
  ReadWrite: 3,
  allow: (granted, wanted) => (granted & wanted) === wanted,
  hasWrite: (granted) => (granted & 2) !== 0,
};
