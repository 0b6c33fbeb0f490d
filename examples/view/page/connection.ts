/// <reference lib="dom" />
/**
 * The connection to the server, made again when it is lost.
 *
 * @module
 */
import { decodeRuns, type Hello, type Note, type RunMessage } from "../wire.ts";

/** Who is informed. */
export interface ConnectionListener {
  hello(hello: Hello): void;
  runs(message: RunMessage): void;
  note(note: Note): void;
  lost(): void;
}

const RETRY = 1000;

/** A connection. */
export class Connection {
  readonly #listener: ConnectionListener;
  #socket: WebSocket | undefined;
  #timer = 0;

  constructor(listener: ConnectionListener) {
    this.#listener = listener;
  }

  /** Connects, unless it is connected. */
  open(): void {
    if (this.#socket !== undefined) return;
    const socket = new WebSocket(new URL("../live", location.href.replace(/^http/, "ws")));
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    let isFirst = true;
    socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.#listener.runs(decodeRuns(data));
      else if (isFirst) this.#listener.hello(JSON.parse(data));
      else this.#listener.note(JSON.parse(data));
      isFirst = false;
    };
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#listener.lost();
      this.#timer = self.setTimeout(() => this.open(), RETRY);
    };
  }

  /** Ends it: where nobody looks, the server does not either. */
  close(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
  }
}
