/**
 * Checks every link in the Markdown of the tree: that files, their headings and images exist. Those
 * of the README also have to work in the package, which has fewer files. Addresses elsewhere are not
 * visited.
 *
 *     deno run --allow-read tests/support/check_links.ts
 *
 * @module
 */
import { lineAt, type Problem, readTree, report, ROOT } from "./tree.ts";

/**
 * Where the repository is, without a slash at the end. Links that begin with it are looked up in this
 * tree. Empty as long as it has no address.
 */
const REPOSITORY = "";

/** What links are checked against. */
export interface LinkTargets {
  /** The Markdown, by path from the root. */
  readonly files: ReadonlyMap<string, string>;
  /** Whether there is such a file or folder. */
  readonly exists: (path: string) => boolean;
  /** What the package has: files, and folders with all in them. */
  readonly packed: readonly string[];
  /** See {@linkcode REPOSITORY}. */
  readonly repository?: string;
}

/** A link of a text. */
export interface Link {
  /** Where it leads, as it is written. */
  readonly target: string;
  /** Its line. */
  readonly line: number;
}

const LINK = new RegExp(
  [
    // [text](target "title"), ![text](target)
    String.raw`\]\(\s*<?(?<inline>[^\s)>]+)>?(?:\s+"[^"]*")?\s*\)`,
    // [name]: target
    String.raw`^ {0,3}\[[^\]]+\]:\s*<?(?<definition>[^\s>]+)`,
    // <img src="target">, <a href="target">
    String.raw`<[a-z]+\s[^>]*(?:src|srcset|href)="(?<html>[^"]+)"`,
  ].join("|"),
  "gm",
);

/**
 * The links of a text, without those in code.
 *
 * @param text Markdown.
 */
export function linksOf(text: string): Link[] {
  const prose = blank(blank(text, FENCE), SPAN);
  return [...prose.matchAll(LINK)].map(({ index, groups = {} }) => ({
    target: (groups.inline ?? groups.definition ?? groups.html)!,
    line: lineAt(prose, index),
  }));
}

const FENCE = /^( {0,3})(`{3,}|~{3,})[^]*?^\1\2.*$/gm;
const SPAN = /(`+)(?!`)[^]*?[^`]\1(?!`)/g;

// Code becomes spaces, on as many lines.
function blank(text: string, code: RegExp): string {
  return text.replace(code, (match) => match.replace(/[^\n]/g, " "));
}

/**
 * The anchors of a text's headings, as GitHub makes them.
 *
 * @param text Markdown.
 */
export function anchorsOf(text: string): string[] {
  const counts = new Map<string, number>();
  return [...blank(text, FENCE).matchAll(/^ {0,3}#{1,6}\s+(.*?)\s*#*$/gm)].map(
    ([, heading = ""]) => {
      const shown = heading.replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1");
      const slug = shown.toLowerCase().replace(/[^\p{L}\p{M}\p{N}_ -]/gu, "").replaceAll(" ", "-");
      const count = counts.get(slug) ?? 0;
      counts.set(slug, count + 1);
      return count === 0 ? slug : `${slug}-${count}`;
    },
  );
}

/**
 * Checks every link.
 *
 * @param targets What there is.
 * @returns The dead ones.
 */
export function checkLinks(targets: LinkTargets): Problem[] {
  return [...targets.files].flatMap(([file, text]) =>
    linksOf(text).flatMap(({ target, line }) => {
      const why = whyDead(file, target, targets);
      return why === undefined ? [] : [{ file, line, text: `the link ${target} is dead: ${why}` }];
    })
  );
}

function whyDead(file: string, target: string, targets: LinkTargets): string | undefined {
  const { files, exists, packed, repository } = targets;
  const isOwn = repository !== undefined && repository !== "" &&
    target.startsWith(`${repository}/`);
  if (/^[a-z][a-z+.-]*:/i.test(target) && !isOwn) {
    return /^(https:\/\/[^/]|mailto:)/.test(target) ? undefined : "it is no https address";
  }
  const inTree = isOwn ? pathInRepository(target.slice(repository.length)) : pathFrom(file, target);
  // Issues, releases and so on.
  if (inTree === undefined) return undefined;
  const [path = "", anchor] = inTree.split("#");
  if (path.startsWith("../")) return "it leads out of the repository";
  if (path !== "" && !exists(path)) return `there is no ${path}`;
  if (file === "README.md" && !isOwn && !isPacked(path, packed)) {
    return `${path} is not in the package`;
  }
  if (anchor === undefined) return undefined;
  const text = files.get(path);
  if (text === undefined) return `${path} is no Markdown`;
  return anchorsOf(text).includes(anchor) ? undefined : `${path} has no heading #${anchor}`;
}

// From /blob/main/docs/errors.md or /raw/main/docs/images/a.png.
function pathInRepository(rest: string): string | undefined {
  return /^\/(?:blob|tree|raw)\/[^/]+\/(.*)$/.exec(rest)?.[1];
}

function pathFrom(file: string, target: string): string {
  if (target.startsWith("#")) return file + target;
  const parts = file.split("/").slice(0, -1);
  const [path = "", anchor] = decodeURI(target).split("#");
  for (const part of path.split("/")) {
    if (part === ".." && parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  return parts.join("/") + (anchor === undefined ? "" : `#${anchor}`);
}

function isPacked(path: string, packed: readonly string[]): boolean {
  return packed.some((name) => path === name || path.startsWith(`${name}/`));
}

if (import.meta.main) {
  const files = await readTree((path) => path.endsWith(".md"));
  const exists = (path: string) => {
    try {
      return Deno.statSync(new URL(path, ROOT)) !== undefined;
    } catch {
      return false;
    }
  };
  const { publish } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  report(
    checkLinks({ files, exists, packed: publish.include, repository: REPOSITORY }),
    `the links of ${files.size} files`,
  );
}
