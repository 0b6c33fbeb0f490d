/** The parameters of a function, from its source. */

/** A parameter as its function's source has it. */
export interface Parameter {
  /** Its name, without an underscore before it. */
  readonly name: string;
  /** Whether it may be left out. */
  readonly optional: boolean;
}

/**
 * The parameters of a function or of a class's constructor.
 *
 * @returns The parameters; none if a class defines no constructor.
 */
export function parametersOf(callable: (...args: never) => unknown): Parameter[] {
  // Comments stay in the source that Deno runs.
  const source = String(callable).replace(/\/\*[^]*?\*\//g, "").replace(/\/\/.*$/gm, "");
  const begin = source.startsWith("class") ? constructorOf(source) : source.indexOf("(");
  if (begin === undefined) {
    return parametersOf(Object.getPrototypeOf(callable));
  }
  // A function of one parameter without parentheses.
  const single = /^(?:async\s+)?([\w$]+)\s*=>/.exec(source);
  const parts = single === null ? split(source, begin + 1) : [single[1]!];
  return parts.filter((part) => part.trim() !== "").map((part, i) => {
    const text = part.trim().replace(/^\.\.\./, "");
    const name = /^_?([\w$]+)/.exec(text)?.[1] ?? `#${i}`;
    return { name, optional: /^[\w$]+\s*=/.test(text) };
  });
}

// Where the parameters of a class's constructor begin.
function constructorOf(source: string): number | undefined {
  const match = /^\s*constructor\s*\(/m.exec(source);
  return match === null ? undefined : match.index + match[0].length - 1;
}

// The text up to the closing parenthesis, cut at the commas that are in no other brackets.
function split(source: string, begin: number): string[] {
  const parts: string[] = [];
  let depth = 0;
  let part = "";
  for (let i = begin; i < source.length; i++) {
    const c = source[i]!;
    if (depth === 0 && c === ")") break;
    if (depth === 0 && c === ",") {
      parts.push(part);
      part = "";
      continue;
    }
    if ("([{".includes(c)) depth++;
    if (")]}".includes(c)) depth--;
    part += c;
  }
  return [...parts, part];
}
