/// <reference lib="dom" />
/**
 * What a pointer, a wheel and keys ask of the map.
 *
 * @module
 */

/** What is asked. Places are in pixels of CSS. */
export interface MapActions {
  /** Moves what is visible down by a distance. */
  pan(distance: number): void;
  /** Zooms in (1) or out (-1) around a place; around the kept cell, or the middle, without. */
  zoom(step: 1 | -1, y?: number): void;
  /** Something is pointed at; nothing any more, without a place. */
  hover(x?: number, y?: number): void;
  /** A place is clicked or tapped. */
  keep(x: number, y: number): void;
  /** The kept cell moves. */
  move(columns: number, rows: number): void;
  /** Scrolls by visible pages, or to an end. */
  scroll(pages: number): void;
  /** Nothing is kept any more. */
  release(): void;
  /** Shows all. */
  fit(): void;
  /** Pauses, or continues. */
  togglePause(): void;
}

// A pointer that moved less has clicked.
const CLICK = 5;
// Of a wheel: what many report for one notch. Touchpads report less, more often.
const NOTCH = 60;
const PINCH = 1.4;

/** Listens to a canvas. */
export function listen(canvas: HTMLCanvasElement, actions: MapActions): void {
  listenToPointers(canvas, actions);
  let turned = 0;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const delta = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * 20;
    if (event.shiftKey) return actions.pan(delta || event.deltaX);
    turned += delta;
    if (Math.abs(turned) < NOTCH) return;
    actions.zoom(turned < 0 ? 1 : -1, event.offsetY);
    turned = 0;
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const action = keys(actions)[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  });
}

function keys(actions: MapActions): Record<string, () => void> {
  return {
    ArrowLeft: () => actions.move(-1, 0),
    ArrowRight: () => actions.move(1, 0),
    ArrowUp: () => actions.move(0, -1),
    ArrowDown: () => actions.move(0, 1),
    PageUp: () => actions.scroll(-1),
    PageDown: () => actions.scroll(1),
    Home: () => actions.scroll(-Infinity),
    End: () => actions.scroll(Infinity),
    "+": () => actions.zoom(1),
    "=": () => actions.zoom(1),
    "-": () => actions.zoom(-1),
    "0": () => actions.fit(),
    p: () => actions.togglePause(),
    Escape: () => actions.release(),
  };
}

function listenToPointers(canvas: HTMLCanvasElement, actions: MapActions): void {
  const pointers = new Map<number, { x: number; y: number }>();
  let moved = 0;
  let spread = 0;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (pointers.size === 0) moved = 0;
    pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    spread = distance(pointers);
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (last === undefined) {
      if (event.pointerType !== "touch") actions.hover(event.offsetX, event.offsetY);
      return;
    }
    const [dx, dy] = [event.offsetX - last.x, event.offsetY - last.y];
    moved += Math.hypot(dx, dy);
    [last.x, last.y] = [event.offsetX, event.offsetY];
    if (pointers.size === 2) {
      const now = distance(pointers);
      if (now > spread * PINCH || now < spread / PINCH) {
        actions.zoom(now > spread ? 1 : -1, last.y);
        spread = now;
      }
    } else if (moved > CLICK) {
      canvas.classList.add("dragging");
      actions.hover();
      actions.pan(-dy);
    }
  });
  const onEnd = (event: PointerEvent) => {
    if (!pointers.delete(event.pointerId)) return;
    canvas.classList.remove("dragging");
    if (event.type === "pointerup" && moved <= CLICK) actions.keep(event.offsetX, event.offsetY);
  };
  canvas.addEventListener("pointerup", onEnd);
  canvas.addEventListener("pointercancel", onEnd);
  canvas.addEventListener("pointerleave", () => actions.hover());
}

function distance(pointers: ReadonlyMap<number, { x: number; y: number }>): number {
  const [a, b] = [...pointers.values()];
  return a === undefined || b === undefined ? 0 : Math.hypot(a.x - b.x, a.y - b.y);
}
