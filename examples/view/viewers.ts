/**
 * The browsers that look at a memory. It is watched as long as there is one.
 *
 * @module
 */
import { PageMap } from "./page_map.ts";
import type { MemorySource, SourceChange, SourceMark } from "./source.ts";
import { encodeRuns, type Hello, MessageKind, type Note } from "./wire.ts";

// A browser that is this many bytes behind misses changes, and gets all that is known later.
const MOST_BUFFERED = 2 ** 22;
const MOST_MARKS = 200;
const NO_CHANGE = { milliseconds: 0, resident: 0, changed: 0 };

interface Viewer {
  readonly socket: WebSocket;
  /** Whether it has missed changes. */
  isBehind: boolean;
}

/** All that look at one memory. */
export class Viewers implements Disposable {
  /** What is known of the pages. */
  readonly map: PageMap;
  readonly #source: MemorySource;
  readonly #viewers = new Set<Viewer>();
  readonly #marks: SourceMark[] = [];
  #last: Omit<SourceChange, "runs" | "at"> = NO_CHANGE;
  #stop: (() => void) | undefined;
  #ended: string | undefined;

  constructor(source: MemorySource) {
    this.#source = source;
    this.map = new PageMap(source.pages.count);
  }

  /** Adds a browser. */
  add(socket: WebSocket): void {
    const viewer: Viewer = { socket, isBehind: false };
    socket.onopen = () => {
      this.#viewers.add(viewer);
      socket.send(JSON.stringify(this.#hello()));
      this.#sendAll(viewer);
      if (this.#ended !== undefined) socket.send(JSON.stringify({ ended: this.#ended }));
      else this.#stop ??= this.#watch();
    };
    socket.onclose = () => {
      this.#viewers.delete(viewer);
      if (this.#viewers.size === 0) this.#pause();
    };
  }

  /** Stops to watch, and says good-bye. */
  [Symbol.dispose](): void {
    this.#pause();
    for (const { socket } of this.#viewers) socket.close(GOING_AWAY);
  }

  #watch(): () => void {
    return this.#source.watch({
      changed: (change) => this.#publish(change),
      marked: (mark) => {
        this.#marks.push(mark);
        if (this.#marks.length > MOST_MARKS) this.#marks.shift();
        this.#sendNote({ mark });
      },
      ended: (reason) => {
        this.#ended = reason;
        this.#sendNote({ ended: reason });
      },
    });
  }

  #pause(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  #publish(change: SourceChange): void {
    const { runs, at, milliseconds } = change;
    this.map.apply(runs, at);
    this.#last = change;
    const message = encodeRuns({
      ...change,
      kind: MessageKind.changes,
      microseconds: Math.round(milliseconds * 1000),
      runs: runs.map((run) => ({ ...run, at })),
    });
    for (const viewer of this.#viewers) {
      if (viewer.socket.bufferedAmount > MOST_BUFFERED) viewer.isBehind = true;
      else if (viewer.isBehind) this.#sendAll(viewer);
      else send(viewer, message);
    }
  }

  #sendAll(viewer: Viewer): void {
    viewer.isBehind = false;
    send(
      viewer,
      encodeRuns({
        ...this.#last,
        kind: MessageKind.whole,
        at: this.#source.now(),
        microseconds: Math.round(this.#last.milliseconds * 1000),
        runs: [...this.map.runs()],
      }),
    );
  }

  #sendNote(note: Note): void {
    for (const viewer of this.#viewers) send(viewer, JSON.stringify(note));
  }

  #hello(): Hello {
    const { title, about, pages, writers, look } = this.#source;
    return {
      title,
      about,
      pageSize: pages.pageSize,
      pages: pages.count,
      regions: pages.regions.map(({ firstPage, pages, startAddr }) => [
        firstPage,
        pages,
        startAddr,
      ]),
      writers,
      look,
      now: this.#source.now(),
      marks: this.#marks,
    };
  }
}

const GOING_AWAY = 1001;

function send({ socket }: Viewer, message: string | ArrayBuffer): void {
  if (socket.readyState === WebSocket.OPEN) socket.send(message);
}
