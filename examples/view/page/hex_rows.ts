/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Bytes as rows of hexadecimal digits and characters.
 *
 * @module
 */

const COLUMNS = 8;

/**
 * The rows of a page.
 *
 * @param bytes The page.
 * @param before What it was before, to mark what changed.
 */
export function hexRows(bytes: Uint8Array, before: Uint8Array | undefined): DocumentFragment {
  const rows = document.createDocumentFragment();
  for (let start = 0; start < bytes.length; start += COLUMNS) {
    const row = bytes.subarray(start, start + COLUMNS);
    rows.append(span("offset", start.toString(16).padStart(3, "0")), "  ");
    for (let i = 0; i < row.length; i++) {
      const digits = row[i]!.toString(16).padStart(2, "0");
      const isChanged = before !== undefined && before[start + i] !== row[i];
      if (isChanged) rows.append(mark(digits));
      else if (row[i] === 0) rows.append(span("zero", digits));
      else rows.append(digits);
      rows.append(" ");
    }
    rows.append(` ${String.fromCharCode(...row).replaceAll(/[^ -~]/g, "·")}\n`);
  }
  rows.normalize();
  return rows;
}

function span(name: string, text: string): HTMLElement {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = text;
  return made;
}

function mark(text: string): HTMLElement {
  const made = document.createElement("mark");
  made.textContent = text;
  return made;
}
