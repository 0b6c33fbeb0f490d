/**
 * The machine that is measured on.
 *
 * @module
 */
import { cpus } from "node:os";
import { arch } from "node:process";

/** Its processor, and how many of it, in one line. */
export function machine(): string {
  const { hardwareConcurrency } = navigator;
  const count = `${hardwareConcurrency} CPU${hardwareConcurrency === 1 ? "" : "s"}`;
  return `${modelOfProcessor() || arch}, ${count}`;
}

/** The runtime with its version, such as `Deno 2.9.6`. */
export function runtime(): string {
  return navigator.userAgent.replace("/", " ");
}

function modelOfProcessor(): string | undefined {
  // Asked, so that nobody is asked for it.
  const permission = { name: "sys", kind: "cpus" } as const;
  const isDenied = typeof Deno !== "undefined" &&
    Deno.permissions.querySync(permission).state !== "granted";
  return isDenied ? undefined : cpus()[0]?.model.trim();
}
