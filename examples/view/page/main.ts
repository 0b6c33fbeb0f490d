/// <reference lib="dom" />
/**
 * The page: what is connected with what.
 *
 * @module
 */
import { PageMap } from "../page_map.ts";
import { type Hello, MessageKind, type Note, type RunMessage } from "../wire.ts";
import { Connection } from "./connection.ts";
import { element, setText } from "./elements.ts";
import { listen } from "./gestures.ts";
import { showLegend } from "./legend.ts";
import { MapView } from "./map_view.ts";
import { Palette } from "./palette.ts";
import { count, duration, size } from "./texts.ts";

// Ages change without a message, too.
const TICK = 100;
// Over how long the changes a second are counted, in ms.
const WINDOW = 2000;
const MOST_MARKS = 20;

const darkness = matchMedia("(prefers-color-scheme: dark)");
const pauseButton = element("pause", HTMLButtonElement);
let palette = new Palette(darkness.matches);
let hello: Hello | undefined;
let view: MapView | undefined;
let isPaused = false;
let hasEnded = false;
// The time of the source is that of the page plus this.
let offset = 0;
let frozenAt = 0;
let recent: { at: number; changed: number }[] = [];

const connection = new Connection({
  hello: begin,
  runs: take,
  note: takeNote,
  lost: () => {
    if (!hasEnded && !isPaused) setStatus("lost", "connecting again");
  },
});

function now(): number {
  return isPaused || hasEnded ? frozenAt : performance.now() + offset;
}

function begin(next: Hello): void {
  hello = next;
  offset = next.now - performance.now();
  recent = [];
  setText("title", next.title);
  setText("about", next.about);
  element("about", HTMLElement).title = next.about;
  document.title = `${next.title}: memory`;
  setText("look-name", next.look);
  setText("resident-of", `of ${size(next.pages * next.pageSize)}`);
  setStatus("live", "live");
  if (view === undefined) {
    view = new MapView(next, new PageMap(next.pages), now, palette);
    showLegend(palette, next.writers);
    listen(element("map", HTMLCanvasElement), { ...view.actions, togglePause });
    addEventListener("resize", () => view!.resize());
  }
  element("marks", HTMLElement).replaceChildren();
  for (const mark of next.marks) addMark(mark);
}

function take(message: RunMessage): void {
  if (hello === undefined || view === undefined || isPaused) return;
  const { kind, at, microseconds, resident, changed, runs } = message;
  if (kind === MessageKind.whole) view.replace(runs);
  else {
    view.update(runs, at);
    recent.push({ at, changed });
  }
  setText("resident", size(resident * hello.pageSize));
  if (microseconds > 0) setText("look", duration(microseconds / 1000));
  showRate(at);
}

function showRate(at: number): void {
  recent = recent.filter((change) => change.at > at - WINDOW);
  const pages = Math.round(
    recent.reduce((sum, { changed }) => sum + changed, 0) * 1000 / WINDOW,
  );
  setText("rate", size(pages * hello!.pageSize));
  setText("rate-pages", count(pages, "page"));
}

function takeNote(note: Note): void {
  if ("mark" in note) return addMark(note.mark);
  frozenAt = now();
  hasEnded = true;
  setStatus("ended", note.ended);
}

function addMark({ at, text }: { readonly at: number; readonly text: string }): void {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = `${(at / 1000).toFixed(1)} s`;
  item.append(time, ` ${text}`);
  // The newest is the first.
  const marks = element("marks", HTMLElement);
  marks.prepend(item);
  while (marks.childElementCount > MOST_MARKS) marks.lastElementChild!.remove();
  if (document.body.classList.contains("has-marks")) return;
  document.body.classList.add("has-marks");
  view?.resize();
}

function togglePause(): void {
  if (hasEnded) return;
  if (!isPaused) frozenAt = now();
  isPaused = !isPaused;
  pauseButton.setAttribute("aria-pressed", String(isPaused));
  if (isPaused) {
    connection.close();
    setStatus("paused", "paused");
  } else {
    setStatus("connecting", "connecting");
    connection.open();
  }
}

function setStatus(status: string, text: string): void {
  element("status", HTMLElement).dataset["status"] = status;
  setText("status-text", text);
}

darkness.addEventListener("change", () => {
  palette = new Palette(darkness.matches);
  if (hello === undefined) return;
  showLegend(palette, hello.writers);
  view?.setPalette(palette);
});
pauseButton.onclick = togglePause;
element("zoom-in", HTMLButtonElement).onclick = () => view?.actions.zoom(1);
element("zoom-out", HTMLButtonElement).onclick = () => view?.actions.zoom(-1);
element("fit", HTMLButtonElement).onclick = () => view?.actions.fit();
setInterval(() => {
  if (!isPaused && !hasEnded) view?.requestDraw();
}, TICK);
connection.open();
