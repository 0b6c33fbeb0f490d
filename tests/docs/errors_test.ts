import { assertEquals } from "@std/assert";
import { publicSymbols, readEntries } from "../support/public_symbols.ts";
import { ROOT } from "../support/tree.ts";

/** What docs/errors.md says of a class. */
interface Row {
  readonly name: string;
  readonly base: string;
  readonly fields: readonly string[];
  readonly causes: readonly string[];
}

// The rows of tables whose first column is "Class".
function rowsOf(text: string): Row[] {
  const rows: Row[] = [];
  let inTable = false;
  for (const line of text.split("\n")) {
    const cells = line.split("|").slice(1, -1).map((cell) => cell.trim());
    if (cells[0] === "Class") {
      assertEquals(cells.slice(1), ["Is a", "Thrown when", "Fields", "Caused by", "What to do"]);
      inTable = true;
    } else if (cells.length === 0) inTable = false;
    else if (inTable && !cells[0]!.startsWith("---")) {
      const [name = "", base = "", , fields = "", causes = ""] = cells;
      rows.push({
        name: codeIn(name)[0]!,
        base: codeIn(base)[0]!,
        fields: codeIn(fields),
        causes: causes.split(", ").filter(Boolean),
      });
    }
  }
  return rows;
}

function codeIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
}

function sorted(lines: readonly string[]): string[] {
  return [...lines].sort();
}

const entries = await readEntries();
const rows = rowsOf(await Deno.readTextFile(new URL("docs/errors.md", ROOT)));

Deno.test("docs/errors.md has every error class of every entry, with its base, and no other", async () => {
  const modules = await Promise.all([...entries.values()].map(({ href }) => import(href)));
  const classes = modules.flatMap((module) => Object.entries<unknown>(module)).flatMap(
    ([name, value]) =>
      typeof value === "function" && value.prototype instanceof Error
        ? [`${name}: ${Object.getPrototypeOf(value).name}`]
        : [],
  );
  assertEquals(
    sorted(rows.map(({ name, base }) => `${name}: ${base}`)),
    sorted([...new Set(classes)]),
  );
});

Deno.test("docs/errors.md has the fields of every error class", async () => {
  const symbols = await publicSymbols(entries);
  const expected = rows.map(({ name }) => {
    const { fields = [] } = symbols.find((symbol) => symbol.name === name) ?? {};
    return `${name}: ${sorted(fields)}`;
  });
  assertEquals(rows.map(({ name, fields }) => `${name}: ${sorted(fields)}`), expected);
});

Deno.test("docs/errors.md blames the guest, a peer, the program or the system", () => {
  const known = ["guest", "peer", "program", "system"];
  const unknown = rows.filter(({ causes }) => !causes.every((cause) => known.includes(cause)));
  assertEquals(unknown.map(({ name }) => name), []);
});
