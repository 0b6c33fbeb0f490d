/** What the package exports, by entry point. */
import * as core from "../../mod.ts";
import * as snapshot from "../../src/snapshot/mod.ts";
import * as virtio from "../../src/virtio/mod.ts";

/** The name of an entry point. */
export type EntryPoint = "core" | "virtio" | "snapshot";

/** The exports of each. */
export const EXPORTS: Readonly<Record<EntryPoint, Readonly<Record<string, unknown>>>> = {
  core,
  virtio,
  snapshot,
};
