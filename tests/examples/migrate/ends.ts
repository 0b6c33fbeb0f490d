/**
 * A connection in one process.
 *
 * @module
 */
import { Connection } from "../../../examples/migrate/connection.ts";
import { UnixSocket } from "../../../mod.ts";

const SILENCE_MS = 20;

/**
 * The two ends of a connection. What one sends, less than 100 KB, waits for the other, so one thread
 * can play both. A side that waits for what does not come counts the other as lost after 20 ms.
 */
export class Ends implements Disposable {
  readonly #sockets = UnixSocket.pair();
  readonly near: Connection = this.#over(0);
  readonly far: Connection = this.#over(1);

  #over(index: 0 | 1): Connection {
    const socket = this.#sockets[index];
    return new Connection(socket.fd, () => socket.close(), SILENCE_MS);
  }

  [Symbol.dispose](): void {
    this.near[Symbol.dispose]();
    this.far[Symbol.dispose]();
  }
}

// Opens the libraries that stay open, outside of a test.
if (Deno.build.os === "linux") new Ends()[Symbol.dispose]();
