/**
 * What the entries of the package export, as `deno doc` sees it.
 *
 * @module
 */

import { ROOT } from "./tree.ts";

/** A symbol of an entry. */
export interface PublicSymbol {
  /** The entry, as an import names it: `@vmm/guest-memory/virtio`. */
  readonly entry: string;
  /** Its name. */
  readonly name: string;
  /** What it is: the kind of each of its declarations. */
  readonly kinds: readonly Kind[];
  /** Whether a declaration has an example. */
  readonly hasExample: boolean;
  /** The class that a class extends. */
  readonly extends: string | undefined;
  /** The names of the fields that a class declares: its properties, and those of its constructor. */
  readonly fields: readonly string[];
  /** The file that declares it. */
  readonly file: string;
  /** The line of its first declaration. */
  readonly line: number;
}

/** What a declaration is. */
export type Kind = "class" | "function" | "variable" | "interface" | "typeAlias" | "namespace";

interface Declaration {
  readonly location: { readonly filename: string; readonly line: number };
  readonly jsDoc?: { readonly tags?: readonly { readonly kind: string }[] };
  readonly kind: Kind;
  readonly def?: {
    readonly extends?: string;
    readonly properties?: readonly { readonly name: string; readonly isStatic?: boolean }[];
    readonly constructors?: readonly {
      readonly params: readonly Parameter[];
    }[];
  };
}

interface Parameter {
  readonly name: string;
  readonly readonly?: boolean;
  /** The parameter itself, where it has a default. */
  readonly left?: Parameter;
}

interface Documentation {
  readonly nodes: Readonly<
    Record<
      string,
      { readonly symbols: readonly { name: string; declarations: readonly Declaration[] }[] }
    >
  >;
}

/**
 * The entries of the package by the names that imports have.
 *
 * @returns URLs of their files.
 */
export async function readEntries(): Promise<Map<string, URL>> {
  const { name, exports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  return new Map(
    Object.entries<string>(exports).map((
      [key, file],
    ) => [name + key.slice(1), new URL(file, ROOT)]),
  );
}

/**
 * Every symbol of every entry.
 *
 * @param entries The files of entries by name.
 */
export async function publicSymbols(entries: ReadonlyMap<string, URL>): Promise<PublicSymbol[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", ...[...entries.values()].map(({ href }) => href)],
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(`deno doc failed: ${new TextDecoder().decode(stderr)}`);
  const { nodes }: Documentation = JSON.parse(new TextDecoder().decode(stdout));
  return [...entries].flatMap(([entry, { href }]) =>
    nodes[href]!.symbols.map(({ name, declarations }) => symbolOf(entry, name, declarations))
  );
}

function symbolOf(entry: string, name: string, declarations: readonly Declaration[]): PublicSymbol {
  const [{ location: { filename, line }, def = {} }] = declarations as [Declaration];
  const { properties = [], constructors = [], extends: base } = def;
  return {
    entry,
    name,
    kinds: declarations.map(({ kind }) => kind),
    hasExample: declarations.some(({ jsDoc }) =>
      jsDoc?.tags?.some(({ kind }) => kind === "example")
    ),
    extends: base,
    fields: [
      ...properties.filter(({ isStatic }) => !isStatic).map((property) => property.name),
      ...constructors.flatMap(({ params }) =>
        params.filter(({ readonly }) => readonly).map(({ name, left }) => left?.name ?? name)
      ),
    ],
    file: filename.replace(ROOT.href, ""),
    line: line + 1, // deno doc counts from 0.
  };
}
