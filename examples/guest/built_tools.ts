/**
 * Programs for the guest that are compiled on the host, without shared libraries.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { run } from "./commands.ts";

/** What compiles them. */
export const COMPILERS: readonly string[] = ["gcc", "make"];

/** Features of fio that need libraries or other programs, and that nothing here uses. */
const WITHOUT = [
  "--build-static",
  "--disable-native",
  "--disable-numa",
  "--disable-rdma",
  "--disable-rados",
  "--disable-rbd",
  "--disable-http",
  "--disable-gfapi",
  "--disable-libnfs",
  "--disable-shm",
];

/**
 * Compiles fio.
 *
 * @param archive Its source.
 * @param folder Where the program goes.
 */
export async function buildFio(archive: string, folder: string): Promise<void> {
  const source = `${folder}/fio-source`;
  await Deno.mkdir(source, { recursive: true });
  try {
    await run("tar", ["-xf", archive, "-C", source, "--strip-components=1"]);
    await run("sh", ["./configure", ...WITHOUT], { cwd: source });
    await run("make", [`-j${navigator.hardwareConcurrency}`, "fio"], { cwd: source });
    await run("strip", ["fio"], { cwd: source });
    await Deno.rename(`${source}/fio`, `${folder}/fio`);
  } finally {
    await Deno.remove(source, { recursive: true });
  }
}

/**
 * Compiles a program of this folder.
 *
 * @param name Its name, without `.c`.
 * @param folder Where it goes.
 * @returns Its path.
 */
export async function buildTool(name: string, folder: string): Promise<string> {
  const source = fileURLToPath(new URL(`./${name}.c`, import.meta.url));
  await run("gcc", ["-O2", "-Wall", "-static", "-o", `${folder}/${name}`, source]);
  return `${folder}/${name}`;
}
