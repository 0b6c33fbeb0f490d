/**
 * Why a device cannot be served.
 *
 * @module
 */
import { ExpectedError } from "../lib/expected_error.ts";

/** The front-end breaks the protocol. The connection ends, and the next one is served. */
export class ProtocolError extends Error {
  static {
    this.prototype.name = "ProtocolError";
  }
}

/** The device cannot begin: the image or the socket cannot be used. */
export class VhostError extends ExpectedError {
  /** The name of the class. */
  override readonly name: string = "VhostError";
}
