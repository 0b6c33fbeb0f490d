/**
 * The modules that threads of this library run.
 *
 * @module
 */
import { NO_THREADS } from "../../../ffi/thread.ts";
import { FaultsUnavailable } from "../../error/fault_error.ts";

/** Nobody calls them: a package for npm has those modules that something imports. */
export const threadModules: readonly (() => Promise<unknown>)[] = [
  () => import("./loader_worker.ts"),
  () => import("../running/saver_worker.ts"),
];

/**
 * A module for a thread that can begin: who waits for one that cannot would wait for ever.
 *
 * @param path Its path without the ending: that of `parent`, as a package for npm has JavaScript.
 * @param parent The URL of the module that the path is relative to.
 * @throws {FaultsUnavailable} The program may not read the module, or the runtime is not Deno.
 */
export function threadModule(path: string, parent: string): URL {
  if (NO_THREADS !== undefined) throw new FaultsUnavailable(NO_THREADS);
  const module = new URL(path + parent.slice(parent.lastIndexOf(".")), parent);
  if (module.protocol !== "file:") return module;
  const { state } = Deno.permissions.querySync({ name: "read", path: module });
  if (state === "granted") return module;
  throw new FaultsUnavailable(`a thread of the library takes --allow-read=${module.pathname}`);
}
