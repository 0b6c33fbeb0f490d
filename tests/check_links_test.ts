import { assertEquals } from "@std/assert";
import { anchorsOf, checkLinks, linksOf } from "./support/check_links.ts";

const REPOSITORY = "https://example.org/owner/name";

/** What is wrong with the links of a file in a small tree. */
function check(file: string, text: string): string[] {
  const files = new Map([
    ["docs/guide.md", "# The guide\n\n## A `codec`, and more\n\n## Again\n\n## Again\n"],
    [file, text],
  ]);
  const paths = [...files.keys(), "docs", "docs/images/map.png", "src/a.ts", "examples/a.ts"];
  return checkLinks({
    files,
    exists: (path) => paths.includes(path),
    packed: ["README.md", "docs", "src"],
    repository: REPOSITORY,
  }).map(({ file, line, text }) => `${file}:${line}: ${text}`);
}

const ALIVE = [
  "[a](docs/guide.md)",
  "[a](docs/guide.md#the-guide) and [b](docs/guide.md#a-codec-and-more)",
  "[a](docs/guide.md#again-1)",
  "[a][b]\n\n[b]: docs/guide.md#again",
  '![map](docs/images/map.png "A map")',
  '<img src="docs/images/map.png">',
  "[![badge](https://example.org/badge.svg)](https://example.org)",
  "[all](docs)",
  "# Here\n\n[up](#here)",
  `[example](${REPOSITORY}/blob/main/examples/a.ts)`,
  `[issues](${REPOSITORY}/issues)`,
  "`[not](a-link.md)`",
  "```ts\nconst text = '[not](a-link.md)';\n```",
];

const DEAD: readonly (readonly [text: string, problem: string])[] = [
  ["\n\n[a](docs/gone.md)", "README.md:3: the link docs/gone.md is dead: there is no docs/gone.md"],
  [
    "[a](docs/guide.md#gone)",
    "README.md:1: the link docs/guide.md#gone is dead: docs/guide.md has no heading #gone",
  ],
  [
    "[a](docs/guide.md#again-2)",
    "README.md:1: the link docs/guide.md#again-2 is dead: docs/guide.md has no heading #again-2",
  ],
  [
    "![a](docs/images/gone.png)",
    "README.md:1: the link docs/images/gone.png is dead: there is no docs/images/gone.png",
  ],
  [
    '<a href="docs/gone.md">a</a>',
    "README.md:1: the link docs/gone.md is dead: there is no docs/gone.md",
  ],
  ["[a][b]\n\n[b]: gone.md", "README.md:3: the link gone.md is dead: there is no gone.md"],
  [
    "[a](examples/a.ts)",
    "README.md:1: the link examples/a.ts is dead: examples/a.ts is not in the package",
  ],
  [
    `[a](${REPOSITORY}/blob/main/gone.ts)`,
    `README.md:1: the link ${REPOSITORY}/blob/main/gone.ts is dead: there is no gone.ts`,
  ],
  ["[a](../a.md)", "README.md:1: the link ../a.md is dead: it leads out of the repository"],
  ["[a](src/a.ts#L4)", "README.md:1: the link src/a.ts#L4 is dead: src/a.ts is no Markdown"],
  ["[a](http://a.b)", "README.md:1: the link http://a.b is dead: it is no https address"],
  [
    "# Here\n\n[a](#there)",
    "README.md:3: the link #there is dead: README.md has no heading #there",
  ],
];

for (const text of ALIVE) {
  Deno.test(`the link check finds nothing wrong with ${JSON.stringify(text)}`, () => {
    assertEquals(check("README.md", text), []);
  });
}

for (const [text, problem] of DEAD) {
  Deno.test(`the link check finds that ${JSON.stringify(text)} is dead`, () => {
    assertEquals(check("README.md", text), [problem]);
  });
}

Deno.test("the link check begins at the folder of a file, and packs the README alone", () => {
  assertEquals(check("docs/other.md", "[a](guide.md) [b](../src/a.ts) [c](../examples/a.ts)"), []);
  assertEquals(check("docs/other.md", "[a](docs/guide.md)"), [
    "docs/other.md:1: the link docs/guide.md is dead: there is no docs/docs/guide.md",
  ]);
});

Deno.test("linksOf() has the line of each link, behind code too", () => {
  const text = "```sh\n[a](b)\n```\n\n`[c](d)` [e](f),\n[g](<h>)";
  assertEquals(linksOf(text), [{ target: "f", line: 5 }, { target: "h", line: 6 }]);
});

Deno.test("anchorsOf() are those of GitHub", () => {
  assertEquals(
    anchorsOf(
      "# What it's, *in* short?\n## `read()`: [the way](a.md)\n```\n# no heading\n```\n### Ü_1",
    ),
    ["what-its-in-short", "read-the-way", "ü_1"],
  );
});
