/**
 * Permissions to read and write memory.
 *
 * @module
 */

/** A set of permissions: the bits 1 (read) and 2 (write). Mirrors the enum `Permissions`. */
export type Permissions = 0 | 1 | 2 | 3;

/**
 * The sets of permissions, and functions on them. Mirrors the enum `Permissions`.
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
  /** No permission. */
  readonly No: 0;
  /** The permission to read. */
  readonly Read: 1;
  /** The permission to write. */
  readonly Write: 2;
  /** Both. */
  readonly ReadWrite: 3;
  /** Whether `granted` includes all of `wanted`. Everything allows {@linkcode Permissions.No}. */
  allow(granted: Permissions, wanted: Permissions): boolean;
  /** Whether the set includes the permission to write. */
  hasWrite(granted: Permissions): boolean;
} = Object.freeze({
  No: 0,
  Read: 1,
  Write: 2,
  ReadWrite: 3,
  allow: (granted, wanted) => (checkPermissions(granted) & checkPermissions(wanted)) === wanted,
  hasWrite: (granted) => (checkPermissions(granted) & 2) !== 0,
});

/**
 * Refuses what is no set of permissions.
 *
 * @throws {RangeError} It is none.
 */
export function checkPermissions(permissions: Permissions): Permissions {
  if (permissions === 0 || permissions === 1 || permissions === 2 || permissions === 3) {
    return permissions;
  }
  const shown = typeof permissions === "number" ? permissions : `a ${typeof permissions}`;
  throw new RangeError(`Cannot use ${shown} as permissions: they must be 0, 1, 2 or 3`);
}
