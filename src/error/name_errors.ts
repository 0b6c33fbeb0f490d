/**
 * Names of error classes.
 *
 * @module
 */

/**
 * Sets the names that `error.name` and stack traces show: the keys. Minifiers change the names of
 * classes.
 *
 * @param classes The classes by name.
 */
export function nameErrors(classes: Record<string, { readonly prototype: Error }>): void {
  for (const [name, { prototype }] of Object.entries(classes)) prototype.name = name;
}
