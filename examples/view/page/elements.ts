/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * The elements of the page.
 *
 * @module
 */

/**
 * The element with an identifier.
 *
 * @param id The identifier, as in `index.html`.
 * @param kind Its class.
 */
export function element<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`Cannot find #${id}: the page has none, or another kind`);
}

/** Sets a text, where it is another one: screen readers read again what is set. */
export function setText(id: string, text: string): void {
  const target = element(id, HTMLElement);
  if (target.textContent !== text) target.textContent = text;
}

/**
 * Makes a canvas as many pixels as the screen has there.
 *
 * @returns Pixels of the screen for one of CSS.
 */
export function fitCanvas(canvas: HTMLCanvasElement): number {
  const ratio = devicePixelRatio;
  const { clientWidth, clientHeight } = canvas;
  const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
  // Setting either clears it.
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  return ratio;
}
