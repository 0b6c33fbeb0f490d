/**
 * Programs for the guest that are compiled on the host, without shared libraries.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { outcomeOf, run } from "./commands.ts";
import { GuestError } from "./guest_error.ts";

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
const DMA_SOURCE = fileURLToPath(new URL("./dma.c", import.meta.url));

/** What has to be in the environment of gcc and make. */
export type CompilerEnvironment = Readonly<Record<string, string>>;

/**
 * Whether gcc and make make programs without shared libraries.
 *
 * @param env Their environment.
 */
export async function compiles(env: CompilerEnvironment): Promise<boolean> {
  const folder = await Deno.makeTempDir({ prefix: "guest-" });
  try {
    await Deno.writeTextFile(`${folder}/a.c`, "#include <stdio.h>\nint main() { return 0; }\n");
    const gcc = ["-static", "-o", `${folder}/a`, `${folder}/a.c`];
    for (const [command, args] of [["gcc", gcc], ["make", ["--version"]]] as const) {
      if ((await outcomeOf(command, args, { env })).code !== 0) return false;
    }
    return true;
  } catch (error) {
    if (!(error instanceof GuestError)) throw error;
    return false;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/**
 * Sets up a compiler that is not installed.
 *
 * @param root Where its packages are unpacked.
 * @returns Its environment.
 */
export async function unpackedCompiler(root: string): Promise<CompilerEnvironment> {
  // What the machine has installed is not among the packages: maybe the C library.
  const own = await Deno.stat(`${root}/usr/include/stdio.h`).then(() => true, () => false);
  // Shared libraries are those of the machine, so there are none to link with.
  const options = own ? `-static --sysroot='${root}'` : "-static";
  await Deno.mkdir(`${root}/wrapper`);
  await Deno.writeTextFile(
    `${root}/wrapper/gcc`,
    `#!/bin/sh\nexec '${root}/usr/bin/gcc' ${options} "$@"\n`,
    { mode: 0o755 },
  );
  return {
    PATH: `${root}/wrapper:${root}/usr/bin:${Deno.env.get("PATH") ?? "/usr/bin:/bin"}`,
    LD_LIBRARY_PATH: `${root}/usr/lib/x86_64-linux-gnu:${root}/lib/x86_64-linux-gnu`,
  };
}

/**
 * Compiles fio.
 *
 * @param archive Its source.
 * @param folder Where the program goes.
 * @param env The environment of the compiler.
 */
export async function buildFio(
  archive: string,
  folder: string,
  env: CompilerEnvironment,
): Promise<void> {
  const cwd = `${folder}/fio-source`;
  await Deno.mkdir(cwd, { recursive: true });
  try {
    await run("tar", ["-xf", archive, "-C", cwd, "--strip-components=1"]);
    await run("sh", ["./configure", ...WITHOUT], { cwd, env });
    await run("make", [`-j${navigator.hardwareConcurrency}`, "fio"], { cwd, env });
    await run("strip", ["fio"], { cwd, env });
    await Deno.rename(`${cwd}/fio`, `${folder}/fio`);
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
}

/**
 * Compiles dma, which is part of this program.
 *
 * @param folder Where it goes.
 * @param env The environment of the compiler.
 */
export async function buildDma(folder: string, env: CompilerEnvironment): Promise<void> {
  await run("gcc", ["-O2", "-Wall", "-static", "-o", `${folder}/dma`, DMA_SOURCE], { env });
}

/**
 * Whether dma is there, and not older than its source.
 *
 * @param folder Where it is.
 */
export async function hasDma(folder: string): Promise<boolean> {
  const changed = async (path: string) => (await Deno.stat(path)).mtime?.getTime() ?? 0;
  return await changed(`${folder}/dma`).catch(() => -1) >= await changed(DMA_SOURCE);
}
