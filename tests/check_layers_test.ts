import { assertEquals } from "@std/assert";
import { checkLayers, importsOf, readTree } from "./support/check_layers.ts";

/** A small tree: the lines of each file. */
type Tree = Record<string, string | readonly string[]>;

function check(tree: Tree): string[] {
  const files = Object.entries(tree).map(([file, text]) =>
    [file, [text].flat().join("\n")] as const
  );
  return checkLayers(new Map(files)).map(({ file, line, rule }) => `${file}:${line}: ${rule}`);
}

// Each rule, a tree that keeps it, and one that breaks it with what is said of that.
const RULES: readonly (readonly [rule: string, good: Tree, bad: Tree, problem: string])[] = [
  [
    "a layer imports from those below it",
    { "src/guest/a.ts": 'import { hex } from "../text/b.ts";', "src/text/b.ts": "" },
    { "src/text/b.ts": ["", 'import { A } from "../guest/a.ts";'], "src/guest/a.ts": "" },
    "src/text/b.ts:2: src/guest is above src/text, which does not import it",
  ],
  [
    "types count",
    { "src/volatile/a.ts": 'import type { B } from "../codec/b.ts";' },
    { "src/codec/b.ts": 'import type { A } from "../volatile/a.ts";' },
    "src/codec/b.ts:1: src/volatile is above src/codec, which does not import it",
  ],
  [
    "what is imported later counts",
    { "src/guest/a.ts": 'const b = await import("../text/b.ts");' },
    { "src/text/b.ts": 'type A = import("../guest/a.ts").A;' },
    "src/text/b.ts:1: src/guest is above src/text, which does not import it",
  ],
  [
    "what is exported again counts",
    { "mod.ts": 'export { a } from "./src/guest/a.ts";' },
    { "src/error/b.ts": 'export * from "../guest/a.ts";' },
    "src/error/b.ts:1: src/guest is above src/error, which does not import it",
  ],
  [
    "text and permissions do not import each other",
    { "src/address.ts": ['import "./permissions.ts";', 'import "./text/a.ts";'] },
    { "src/permissions.ts": 'import "./text/a.ts";' },
    "src/permissions.ts:1: src/text and src/permissions.ts do not import each other",
  ],
  [
    "codecs and bitmaps do not import each other",
    { "src/codec/a.ts": 'import "./b.ts";', "src/codec/b.ts": "" },
    { "src/codec/a.ts": 'import "../bitmap/b.ts";' },
    "src/codec/a.ts:1: src/bitmap and src/codec do not import each other",
  ],
  [
    "IOMMUs and backends do not import each other",
    { "src/backend/a.ts": 'import "./mmap/b.ts";', "src/backend/mmap/b.ts": "" },
    { "src/backend/mmap/b.ts": 'import "../../iommu/a.ts";' },
    "src/backend/mmap/b.ts:1: src/iommu and src/backend do not import each other",
  ],
  [
    "nothing imports the main module",
    { "src/guest/a.ts": 'import { assert } from "@std/assert";' },
    { "src/guest/a.ts": 'import { u8 } from "@vmm/guest-memory";' },
    "src/guest/a.ts:1: mod.ts is above src/guest, which does not import it",
  ],
  [
    "ffi imports nothing of src",
    { "ffi/a.ts": 'import "./b.ts";', "ffi/b.ts": "" },
    { "ffi/a.ts": 'import "../src/text/b.ts";' },
    "ffi/a.ts:1: ffi imports nothing but ffi, not src/text/b.ts",
  ],
  [
    "backends, snapshots and the main module import ffi",
    Object.fromEntries(
      ["mod.ts", "src/backend/mmap/a.ts", "src/snapshot/a.ts"].map((file) => {
        const up = "../".repeat(file.split("/").length - 1) || "./";
        return [file, `import { b } from "${up}ffi/b.ts";`];
      }),
    ),
    { "src/guest/a.ts": 'import type { B } from "../../ffi/b.ts";' },
    "src/guest/a.ts:1: ffi/b.ts is imported by src/backend, src/snapshot and mod.ts only",
  ],
  [
    "the main module does without virtio",
    { "src/virtio/a.ts": 'import "../backend/b.ts";', "mod.ts": 'import "./src/backend/b.ts";' },
    { "mod.ts": 'export { a } from "./src/virtio/a.ts";' },
    "mod.ts:1: mod.ts does not import src/virtio",
  ],
  [
    "the main module does without snapshots",
    { "src/snapshot/a.ts": 'import "../backend/b.ts";' },
    { "mod.ts": 'export { a } from "./src/snapshot/a.ts";' },
    "mod.ts:1: mod.ts does not import src/snapshot",
  ],
  [
    "the main module does without benchmarks",
    { "src/bench/a.ts": 'import "../backend/b.ts";' },
    { "mod.ts": 'export { a } from "./src/bench/a.ts";' },
    "mod.ts:1: mod.ts does not import src/bench",
  ],
  [
    "benchmarks need neither virtqueues nor snapshots",
    { "src/bench/a.ts": 'import "../guest/b.ts";' },
    { "src/bench/a.ts": 'import "../virtio/b.ts";' },
    "src/bench/a.ts:1: src/virtio and src/bench do not import each other",
  ],
  [
    "every folder is in a layer",
    { "src/text/a.ts": "" },
    { "src/texts/a.ts": "" },
    "src/texts/a.ts:1: src/texts/a.ts is in no layer: src/text, src/permissions.ts, " +
    "src/address.ts, src/error, src/host, src/codec, src/bitmap, src/volatile, src/guest, " +
    "src/iommu, src/backend, src/virtio, src/snapshot, src/bench, mod.ts, ffi",
  ],
  [
    "every file that is imported is in a layer",
    { "src/guest/a.ts": 'import { Buffer } from "node:buffer";' },
    { "src/guest/a.ts": 'import { gpa } from "../../tests/support/values.ts";' },
    "src/guest/a.ts:1: tests/support/values.ts is in no layer",
  ],
  [
    "what is imported is written out",
    { "src/guest/a.ts": 'await import("./b.ts"); import.meta.url;' },
    {
      "src/guest/a.ts": "await import(name);",
      "src/bench/program/host.ts": "await import(name); // a file of the user's",
    },
    "src/guest/a.ts:1: what import() imports is written out as a string",
  ],
  [
    "files do not import each other's values",
    { "src/guest/a.ts": 'import { b } from "./b.ts";', "src/guest/b.ts": "" },
    {
      "src/guest/a.ts": ["", 'import { b } from "./b.ts";'],
      "src/guest/b.ts": 'import { type A, c } from "./c.ts";',
      "src/guest/c.ts": 'import "./a.ts";',
    },
    "src/guest/a.ts:2: imports that are not of types only make a circle: " +
    "src/guest/a.ts -> src/guest/b.ts -> src/guest/c.ts -> src/guest/a.ts",
  ],
  [
    "files of one folder may import each other's types",
    {
      "src/guest/a.ts": 'import { b } from "./b.ts";',
      "src/guest/b.ts": 'import { type A, type B } from "./a.ts";',
    },
    {
      "src/backend/a.ts": 'import { b } from "./mmap/b.ts";',
      "src/backend/mmap/b.ts": 'import type { A } from "../a.ts";',
    },
    "src/backend/a.ts:1: imports of several folders make a circle: " +
    "src/backend/a.ts -> src/backend/mmap/b.ts -> src/backend/a.ts",
  ],
];

for (const [rule, good, bad, problem] of RULES) {
  Deno.test(`the layer check: ${rule}`, () => {
    assertEquals(check(good), []);
    assertEquals(check(bad), [problem]);
  });
}

Deno.test("the layer check names every import against the layers", () => {
  const bad = 'import "../guest/a.ts";';
  assertEquals(
    check({ "src/text/b.ts": [bad, bad], "src/host/a.ts": bad }).map((text) => text.split(" ")[0]),
    ["src/host/a.ts:1:", "src/text/b.ts:1:", "src/text/b.ts:2:"],
  );
});

Deno.test("the layer check finds imports of every form, and none in comments and templates", () => {
  const text = `/**
 * import { a } from "./comment.ts";
 */
import a from './a.ts';
import b, { type B } from "./b.ts"; // import "./comment.ts";
import * as c from "./c.ts";
import {
  // import { x } from "./comment.ts";
  type D,
  type E as F,
} from "./d.ts";
import type G from "./g.ts";
import type from "./h.ts";
export type * from "./i.ts";
export * as j from "./j.ts";
import json from "./k.json" with { type: "json" };
import { type as l } from "./l.ts";
export const url = import.meta.url, from = "//", text = \`import "./template.ts"\`;
export {};
import "./m.ts";
import{n}from"./n.ts";
`;
  const found = importsOf("src/x/y.ts", text);
  assertEquals(found.map(({ line, to, typeOnly }) => `${line} ${to}${typeOnly ? " type" : ""}`), [
    "4 src/x/a.ts",
    "5 src/x/b.ts",
    "6 src/x/c.ts",
    "7 src/x/d.ts type",
    "12 src/x/g.ts type",
    "13 src/x/h.ts",
    "14 src/x/i.ts type",
    "15 src/x/j.ts",
    "16 src/x/k.json",
    "17 src/x/l.ts",
    "20 src/x/m.ts",
    "21 src/x/n.ts",
  ]);
});

Deno.test("the layer check finds the imports that Deno finds", async () => {
  const root = new URL("../", import.meta.url);
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", new URL("mod.ts", root).href],
    stdout: "piped",
    stderr: "null",
  }).output();
  const { modules }: {
    modules: readonly {
      specifier: string;
      dependencies?: readonly { specifier: string; code?: unknown; type?: unknown }[];
    }[];
  } = JSON.parse(new TextDecoder().decode(stdout));
  const files = await readTree();
  const lines = (list: Iterable<string>) => [...new Set(list)].sort();
  const expected = modules.flatMap(({ specifier: from, dependencies = [] }) =>
    dependencies.filter(({ specifier }) => specifier.startsWith(".")).map(({ specifier: to }) =>
      `${from} -> ${new URL(to, from).href}`
    )
  );
  const reached = new Set(modules.map(({ specifier }) => specifier));
  const found = [...files].flatMap(([file, text]) => importsOf(file, text)).map(({ from, to }) => ({
    from: new URL(from, root).href,
    to: new URL(to!, root).href,
  })).filter(({ from }) => reached.has(from)).map(({ from, to }) => `${from} -> ${to}`);
  assertEquals(lines(found), lines(expected));
});

Deno.test("every file imports from the layers below it", async () => {
  assertEquals(checkLayers(await readTree()), []);
});
