/// <reference lib="dom" />
/**
 * The page that is pointed at: where it is, and its bytes.
 *
 * @module
 */
import type { PageMap } from "../page_map.ts";
import { PageState } from "../page_runs.ts";
import type { Hello } from "../wire.ts";
import { element, setText } from "./elements.ts";
import { hexRows } from "./hex_rows.ts";
import { address, duration, size } from "./texts.ts";

// A pointer that moves on does not ask for each page that it passes.
const PATIENCE = 60;

/** What is shown of a page. */
export class Details {
  readonly #hello: Hello;
  readonly #map: PageMap;
  readonly #hex = element("hex", HTMLElement);
  #page: number | undefined;
  #timer = 0;
  #asking: AbortController | undefined;
  #bytes: Uint8Array | undefined;

  constructor(hello: Hello, map: PageMap) {
    this.#hello = hello;
    this.#map = map;
  }

  /** The page that is shown. */
  get page(): number | undefined {
    return this.#page;
  }

  /** Shows another page, or none. */
  show(page: number | undefined): void {
    if (page === this.#page) return;
    this.#page = page;
    this.#bytes = undefined;
    this.#hex.scrollTop = 0;
    clearTimeout(this.#timer);
    this.#timer = self.setTimeout(() => this.#ask(), PATIENCE);
  }

  /** Asks for the bytes again: the page has changed. */
  refresh(): void {
    if (this.#asking === undefined) this.#ask();
  }

  /** Shows where the page is, and its age. */
  update(now: number, cellPages: number): void {
    const page = this.#page;
    if (page === undefined) {
      setText("address", "–");
      setText("region", "–");
      return setText("state", "point at the map");
    }
    const { pageSize, regions } = this.#hello;
    const [first, pages, start] = regions.findLast(([first]) => first <= page)!;
    const more = cellPages > 1 ? `; one of ${cellPages} in the cell` : "";
    setText("address", address(start + (page - first) * pageSize));
    setText(
      "region",
      `${address(start)}–${address(start + pages * pageSize - 1)}, ${size(pages * pageSize)}`,
    );
    setText("state", `${this.#stateOf(page, now)}${more}`);
  }

  #stateOf(page: number, now: number): string {
    const { writers } = this.#hello;
    const state = this.#map.states[page]!;
    if (state === PageState.absent) return "not there";
    if (state === PageState.present) return "there, not seen to change";
    const age = duration(Math.max(0, now - this.#map.changedAt[page]!));
    return `${state === PageState.host ? writers.host : writers.guest} ${age} ago`;
  }

  async #ask(): Promise<void> {
    this.#asking?.abort();
    this.#asking = undefined;
    const page = this.#page;
    if (page === undefined) return this.#hex.replaceChildren();
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const response = await fetch(`../bytes?page=${page}`, { signal: asking.signal });
      const bytes = response.status === 200
        ? new Uint8Array(await response.arrayBuffer())
        : undefined;
      if (page !== this.#page) return;
      this.#hex.dataset["page"] = String(page);
      if (bytes === undefined) this.#hex.replaceChildren(await whyNot(response));
      else this.#hex.replaceChildren(hexRows(bytes, this.#bytes));
      this.#bytes = bytes;
    } catch (error) {
      // Another page is asked for, or the server has ended, which the status says.
      if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
    } finally {
      if (this.#asking === asking) this.#asking = undefined;
    }
  }
}

async function whyNot(response: Response): Promise<string> {
  if (response.status === 204) {
    return "The host has no memory for this page:\nthe guest reads zeros.";
  }
  return await response.text();
}
