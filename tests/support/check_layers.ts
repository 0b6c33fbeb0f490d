/**
 * Checks which file imports which.
 *
 *     deno run --allow-read tests/support/check_layers.ts
 *
 * @module
 */

/** What is wrong with an import. */
export interface Problem {
  /** The file that imports. */
  readonly file: string;
  /** The line of the import. */
  readonly line: number;
  /** The rule that it breaks. */
  readonly rule: string;
}

/** An import of one file by another. */
export interface Import {
  /** The file that imports. */
  readonly from: string;
  /** Its line. */
  readonly line: number;
  /** The file that is imported; `undefined` where the name is not written out. */
  readonly to: string | undefined;
  /** Whether nothing but types is imported. */
  readonly typeOnly: boolean;
}

// From the bottom up: a layer imports from those before it, and those of one line not from each other.
const LAYERS: readonly (readonly string[])[] = [
  ["src/text", "src/permissions.ts"],
  ["src/address.ts"],
  ["src/error"],
  ["src/host"],
  ["src/codec", "src/bitmap"],
  ["src/volatile"],
  ["src/guest"],
  ["src/iommu", "src/backend"],
  ["src/virtio", "src/snapshot", "src/bench"],
  ["mod.ts"],
];

// Who may import system calls, and what the main module does without.
const CALLERS = ["ffi", "src/backend", "src/snapshot", "mod.ts"];
const NOT_IN_MOD = ["src/virtio", "src/snapshot", "src/bench"];
// What imports a file of the user's.
const IMPORTS_ANYTHING = "src/bench/program/host.ts";
const KNOWN = [...LAYERS.flat(), "ffi"];

/**
 * Checks every import.
 *
 * @param files The text of each file by its path from the root, such as `src/address.ts`.
 * @returns What is wrong, by file and line.
 */
export function checkLayers(files: ReadonlyMap<string, string>): Problem[] {
  const problems: Problem[] = [];
  const imports: Import[] = [];
  for (const [file, text] of files) {
    if (layerOf(file) === undefined) {
      problems.push({ file, line: 1, rule: `${file} is in no layer: ${KNOWN.join(", ")}` });
    }
    for (const found of importsOf(file, text)) {
      imports.push(found);
      const rule = brokenRule(found);
      if (rule !== undefined) problems.push({ file, line: found.line, rule });
    }
  }
  problems.push(...checkCircles(imports));
  return problems.sort((a, b) => a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line);
}

// The layer of a file: its folder, or the file itself.
function layerOf(file: string): string | undefined {
  return KNOWN.find((layer) => file === layer || file.startsWith(`${layer}/`));
}

function brokenRule({ from, to }: Import): string | undefined {
  if (to === undefined) {
    if (from === IMPORTS_ANYTHING) return undefined;
    return "what import() imports is written out as a string";
  }
  const [lower, upper] = [layerOf(to), layerOf(from)];
  if (lower === undefined) return `${to} is in no layer`;
  if (upper === undefined || lower === upper) return undefined;
  if (upper === "ffi") return `ffi imports nothing but ffi, not ${to}`;
  if (lower === "ffi") {
    return CALLERS.includes(upper)
      ? undefined
      : `${to} is imported by src/backend, src/snapshot and mod.ts only`;
  }
  if (upper === "mod.ts" && NOT_IN_MOD.includes(lower)) return `mod.ts does not import ${lower}`;
  const height = (layer: string) => LAYERS.findIndex((layers) => layers.includes(layer));
  if (height(lower) < height(upper)) return undefined;
  return height(lower) === height(upper)
    ? `${lower} and ${upper} do not import each other`
    : `${lower} is above ${upper}, which does not import it`;
}

// A circle has to be of types, or modules would run before what they need; and in one folder, or
// neither folder could be understood without the other.
function checkCircles(imports: readonly Import[]): Problem[] {
  const values = imports.filter(({ typeOnly }) => !typeOnly);
  const across = imports.filter(({ from, to }) => to !== undefined && folder(from) !== folder(to));
  return [
    ...circles(values, values, "imports that are not of types only make a circle"),
    ...circles(imports, across, "imports of several folders make a circle"),
  ];
}

function folder(file: string): string {
  return file.slice(0, file.lastIndexOf("/") + 1);
}

// One problem for each circle that some of the imports are part of.
function circles(imports: readonly Import[], some: readonly Import[], what: string): Problem[] {
  const problems: Problem[] = [];
  const known = new Set<string>();
  for (const { from, to, line } of some) {
    const back = to === undefined || known.has(from) ? undefined : path(imports, to, from);
    if (back === undefined) continue;
    for (const file of back) known.add(file);
    problems.push({ file: from, line, rule: `${what}: ${[from, ...back].join(" -> ")}` });
  }
  return problems;
}

// The shortest way of imports from one file to another, with both.
function path(imports: readonly Import[], start: string, end: string): string[] | undefined {
  const previous = new Map<string, string | undefined>([[start, undefined]]);
  // What is added to a map is visited too.
  for (const file of previous.keys()) {
    if (file === end) break;
    for (const { from, to } of imports) {
      if (from === file && to !== undefined && !previous.has(to)) previous.set(to, file);
    }
  }
  if (!previous.has(end)) return undefined;
  const files: string[] = [];
  for (let at: string | undefined = end; at !== undefined; at = previous.get(at)) files.unshift(at);
  return files;
}

const NAME = String.raw`[\w$]+`;
const CLAUSE = String.raw`(?:\*(?:\s*as\s+${NAME})?|${NAME}|\{[^}]*\})`;

const IMPORT = new RegExp(
  [
    // import x, { type y } from "z", export * from "z"
    String.raw`\b(?:import|export)\b\s*(?<type>type\b(?!\s*(?:,|from\b))\s*)?` +
    String.raw`(?<clause>${CLAUSE}(?:\s*,\s*${CLAUSE})?)\s*from\s*(?<from>["'][^"'\n]*["'])`,
    // import "z"
    String.raw`\bimport\s*(?<effect>["'][^"'\n]*["'])`,
    // import("z")
    String.raw`\bimport\s*\((?:\s*(?<call>["'][^"'\n]*["'])\s*[,)])?`,
  ].join("|"),
  "g",
);

/**
 * The imports of a file, without those of packages and of Node.
 *
 * @param file Its path from the root.
 * @param text Its text.
 */
export function importsOf(file: string, text: string): Import[] {
  const imports: Import[] = [];
  const code = blankComments(text);
  for (const { index, groups = {} } of code.matchAll(IMPORT)) {
    const { type, clause, from, effect, call } = groups;
    const name = (from ?? effect ?? call)?.slice(1, -1);
    const to = name === undefined ? undefined : resolve(file, name);
    if (name !== undefined && to === undefined) continue;
    const line = code.slice(0, index).split("\n").length;
    const typeOnly = type !== undefined || clause !== undefined && onlyTypes(clause);
    imports.push({ from: file, line, to, typeOnly });
  }
  return imports;
}

// Whether each name of `{ type a, type b }` is a type.
function onlyTypes(clause: string): boolean {
  if (!clause.startsWith("{")) return false;
  const names = clause.slice(1, -1).split(",").map((name) => name.trim()).filter(Boolean);
  return names.length > 0 && names.every((name) => /^type\s+(?!as\b)/.test(name));
}

function resolve(file: string, name: string): string | undefined {
  if (name === "@vmm/guest-memory") return "mod.ts";
  if (!name.startsWith(".")) return undefined;
  const root = "file:///root/of/the/tree/";
  const { href } = new URL(name, root + file);
  return href.startsWith(root) ? href.slice(root.length) : href;
}

// Comments and templates without their text, on as many lines. Strings stay.
function blankComments(text: string): string {
  const tokens =
    /\/\/.*|\/\*[^]*?\*\/|`(?:\\[^]|[^`\\])*`|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g;
  return text.replace(
    tokens,
    (token) => /^["']/.test(token) ? token : token.replace(/[^\n]/g, " "),
  );
}

/** The text of every file that is checked, by path from the root. */
export async function readTree(): Promise<Map<string, string>> {
  const root = new URL("../../", import.meta.url);
  const files = new Map<string, string>();
  const read = async (path: string) =>
    files.set(path, await Deno.readTextFile(new URL(path, root)));
  const walk = async (path: string) => {
    for await (const { name, isDirectory } of Deno.readDir(new URL(path, root))) {
      if (isDirectory) await walk(`${path}${name}/`);
      else if (/\.[cm]?[jt]sx?$/.test(name)) await read(path + name);
    }
  };
  await Promise.all([walk("src/"), walk("ffi/"), read("mod.ts")]);
  return files;
}

if (import.meta.main) {
  const files = await readTree();
  const problems = checkLayers(files);
  for (const { file, line, rule } of problems) console.error(`${file}:${line}: ${rule}`);
  if (problems.length > 0) Deno.exit(1);
  console.log(`Checked the imports of ${files.size} files`);
}
