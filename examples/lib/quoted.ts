/** Texts that came from outside, as a terminal may show them. */

/**
 * A text that came from outside, such as a file's name, fit for one line of a terminal.
 *
 * @param text Any text.
 * @returns It in quotation marks, with escapes for what would steer the terminal.
 */
export function quoted(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}
