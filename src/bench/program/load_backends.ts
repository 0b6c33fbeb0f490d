/**
 * Backends in files of the user's.
 *
 * @module
 */
import { type Backend, BackendError, checkBackend, failure } from "../backend.ts";
import { importFile, isFile } from "./host.ts";

/**
 * Loads the backends of a file.
 *
 * @param path The file, whose default export is a {@linkcode Backend} or several.
 * @throws {BackendError} There is no such file, or it exports something else.
 */
export async function loadBackends(path: string): Promise<Backend[]> {
  const { default: exported } = await load(path);
  if (exported === undefined) {
    throw new BackendError(
      `${path} has no default export: it should be { name, make }, or several in an array`,
    );
  }
  if (!Array.isArray(exported)) return [checkBackend(exported, `the default export of ${path}`)];
  if (exported.length === 0) throw new BackendError(`the default export of ${path} is empty`);
  return exported.map((each, i) => checkBackend(each, `element ${i} of what ${path} exports`));
}

async function load(path: string): Promise<Record<string, unknown>> {
  let isThere: boolean;
  try {
    isThere = isFile(path);
    if (isThere) return await importFile(path);
  } catch (error) {
    throw failure(`${path} cannot be loaded`, error);
  }
  throw new BackendError(`there is no file ${path}`);
}
