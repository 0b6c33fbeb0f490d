/**
 * Where this library chose to do something else than the crate. Whatever is not in this table has to
 * be the same.
 *
 * @module
 */
import { ADDRESS_DIFFERENCES } from "./address_differences.ts";
import type { Difference } from "./difference.ts";
import { LEVEL_DIFFERENCES } from "./level_differences.ts";
import { STREAM_DIFFERENCES } from "./stream_differences.ts";
import { ACCESS_DIFFERENCES } from "./access_differences.ts";

/** The chosen differences. The first that concerns an operation counts. */
export const DIFFERENCES: readonly Difference[] = [
  ...ADDRESS_DIFFERENCES,
  ...ACCESS_DIFFERENCES,
  ...STREAM_DIFFERENCES,
  ...LEVEL_DIFFERENCES,
];
