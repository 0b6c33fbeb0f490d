/**
 * The machine that is measured on.
 *
 * @module
 */
import { cpus } from "node:os";

/** Its processor, and how many of it, in one line. */
export function machine(): string {
  const { hardwareConcurrency } = navigator;
  let model: string = Deno.build.arch;
  try {
    model = cpus()[0]?.model.trim() || model;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
  }
  return `${model}, ${hardwareConcurrency} CPU${hardwareConcurrency === 1 ? "" : "s"}`;
}
