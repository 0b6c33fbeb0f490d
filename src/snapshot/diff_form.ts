/**
 * The forms of a diff.
 *
 * @module
 */
import { shown } from "../text/argument.ts";

/**
 * What the file of a diff looks like.
 *
 * `"flat"`: like the whole snapshot, with each byte where it is there, and holes for all that is not
 * dirty. Firecracker reads it. The file system has to know holes.
 *
 * `"compact"`: the dirty bytes one after the other, behind a table. It takes a system call for 1,024
 * runs in place of one for each, and survives copying by programs that do not know holes. The format is
 * in `docs/snapshot_files.md`.
 */
export type DiffForm = "flat" | "compact";

/** @throws {TypeError} There is no such form. */
export function readForm({ form = "flat" }: { readonly form?: DiffForm }): DiffForm {
  if (form === "flat" || form === "compact") return form;
  throw new TypeError(`Cannot use the form ${shown(form)}: it must be "flat" or "compact"`);
}
