/** Whether XML is well-formed, as far as pictures need it. */

const TOKEN =
  /<(?<close>\/)?(?<name>[a-zA-Z]+)(?<attributes>(?:\s+[\w:.-]+="[^"<&]*")*)\s*(?<empty>\/)?>/g;

/**
 * Throws unless a text is one element, whose elements end in the order in which they begin, and
 * whose texts are escaped.
 *
 * @param xml The text.
 */
export function ensureWellFormed(xml: string): void {
  const open: string[] = [];
  let end = 0;
  let roots = 0;
  for (const { 0: token, index, groups = {} } of xml.matchAll(TOKEN)) {
    ensureText(xml.slice(end, index), open.length > 0);
    end = index + token.length;
    const { close, name, empty } = groups;
    if (close !== undefined) {
      if (open.pop() !== name) throw new Error(`</${name}> does not end what is open`);
      continue;
    }
    if (open.length === 0 && ++roots > 1) throw new Error(`<${name}> is a second root`);
    if (empty === undefined) open.push(name!);
  }
  ensureText(xml.slice(end), false);
  if (roots !== 1 || open.length > 0) throw new Error(`no root, or open: ${open.join(", ")}`);
}

function ensureText(text: string, isInside: boolean): void {
  // deno-lint-ignore no-control-regex
  const bad = /[<\x00-\x08\x0b\x0c\x0e-\x1f]|&(?!(?:amp|lt|gt|quot|apos|#\d+);)|\]\]>/.exec(text);
  if (bad !== null) throw new Error(`${JSON.stringify(bad[0])} in ${JSON.stringify(text)}`);
  if (!isInside && text.trim() !== "") throw new Error(`${JSON.stringify(text)} is in no element`);
}
