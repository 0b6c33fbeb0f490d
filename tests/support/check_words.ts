/**
 * Checks every text of the tree for words that are often misspelled: a list of some 90,000, that of
 * the program `typos`. Words that are in no dictionary are no errors.
 *
 *     deno run --allow-read tests/support/check_words.ts
 *
 * @module
 */
import dictionary from "@cspell/dict-en-common-misspellings" with { type: "json" };
import { lineAt, type Problem, readTree, report } from "./tree.ts";

/** Corrections by wrong words, both in small letters. */
export type Misspellings = ReadonlyMap<string, string>;

// Names of other programs' interfaces, and parts of such names.
const ALLOWED = [
  "advices", // A property that no options have.
  "controllen", // msg_controllen of recvmsg(2)
  "flate", // The crate flate2.
  "wronly", // O_WRONLY of open(2)
];

// Shorter ones are abbreviations.
const SHORTEST = 4;

/** Reads the list. */
export async function readMisspellings(): Promise<Misspellings> {
  const place = import.meta.resolve("@cspell/dict-en-common-misspellings");
  const misspellings = new Map<string, string>();
  for (const file of dictionary.import.filter((name) => !name.endsWith("-gb.json"))) {
    const { dictionaryDefinitions }: {
      dictionaryDefinitions: readonly Record<string, readonly string[] | undefined>[];
    } = JSON.parse(await Deno.readTextFile(new URL(file, place)));
    for (const { flagWords = [], suggestWords = [] } of dictionaryDefinitions) {
      for (const entry of [...flagWords, ...suggestWords]) {
        const [wrong = "", right = ""] = entry.split("->");
        misspellings.set(wrong.toLowerCase(), right);
      }
    }
  }
  for (const word of ALLOWED) misspellings.delete(word);
  return misspellings;
}

/**
 * The misspelled words of some texts, also where they are parts of names in camel case.
 *
 * @param files The texts by paths.
 * @param misspellings The list.
 */
export function checkWords(
  files: ReadonlyMap<string, string>,
  misspellings: Misspellings,
): Problem[] {
  const problems: Problem[] = [];
  for (const [file, text] of files) {
    for (const { 0: word, index } of text.matchAll(/[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g)) {
      const right = word.length < SHORTEST ? undefined : misspellings.get(word.toLowerCase());
      if (right === undefined) continue;
      problems.push({ file, line: lineAt(text, index), text: `"${word}" should be "${right}"` });
    }
  }
  return problems;
}

if (import.meta.main) {
  const isText = /\.(ts|js|rs|md|yml|json|toml|html|css)$|^NOTICE$|^\.ci\/run$/;
  const files = await readTree((path) => isText.test(path) && path !== "tests/check_words_test.ts");
  report(checkWords(files, await readMisspellings()), `the spelling of ${files.size} files`);
}
