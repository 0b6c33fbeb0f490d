/**
 * The package as npm gets it, installed in an empty folder beside the suite.
 *
 * @module
 */
import { npm, output } from "./commands.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const SUITE = new URL("./suite/", import.meta.url).pathname;

// Types of the language alone: none of Deno, and of Node.js only where the suite itself needs them.
const OPTIONS = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  target: "es2024",
  module: "nodenext",
  moduleResolution: "nodenext",
  rewriteRelativeImportExtensions: true,
};
// Every entry, as a page uses it.
const ENTRIES = `
import * as memory from "@vmm/guest-memory";
import * as snapshot from "@vmm/guest-memory/snapshot";
import * as virtio from "@vmm/guest-memory/virtio";
import * as bench from "@vmm/guest-memory/bench";
console.log(memory, snapshot, virtio, bench);
`;

/**
 * Packs the package, installs it in a folder, and compiles the suite there.
 *
 * @param folder An empty folder.
 * @returns The compiler's name.
 * @throws {Error} It cannot be packed or installed, or its types do not compile.
 */
export async function installPacked(folder: string): Promise<string> {
  const tarball = `${folder}/guest-memory.tgz`;
  await must(Deno.execPath(), ["pack", "--quiet", "--allow-dirty", "-o", tarball], ROOT);
  await write(folder, "package.json", { private: true, type: "module" });
  const wanted = [tarball, "typescript@6.0.3", "@types/node@26.6.6"];
  const failure = await npm(folder, "install", ...wanted);
  if (failure !== undefined) throw new Error(`Cannot install the package: ${failure}`);
  await Deno.mkdir(`${folder}/suite`);
  for (const { name } of Deno.readDirSync(SUITE)) {
    await Deno.copyFile(`${SUITE}${name}`, `${folder}/suite/${name}`);
  }
  await Deno.writeTextFile(`${folder}/entries.ts`, ENTRIES);
  await compile(folder, "entries", {
    compilerOptions: {
      ...OPTIONS,
      lib: ["es2024", "esnext.disposable", "dom"],
      types: [],
      noEmit: true,
    },
    include: ["entries.ts"],
  });
  await compile(folder, "suite", {
    compilerOptions: {
      ...OPTIONS,
      lib: ["es2024", "esnext.disposable"],
      types: ["node"],
      rootDir: "suite",
      outDir: "compiled",
    },
    include: ["suite"],
  });
  return "TypeScript 6.0.3";
}

async function compile(folder: string, name: string, config: unknown): Promise<void> {
  const file = `tsconfig.${name}.json`;
  await write(folder, file, config);
  await must("npx", ["tsc", "--project", file], folder);
}

async function write(folder: string, name: string, content: unknown): Promise<void> {
  await Deno.writeTextFile(`${folder}/${name}`, JSON.stringify(content, undefined, 2));
}

async function must(command: string, args: readonly string[], folder: string): Promise<void> {
  const { code, text } = await output(command, args, folder);
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${text}`);
}
