/**
 * Why a device cannot be served.
 *
 * @module
 */

/** The front-end breaks the protocol. The connection ends, and the next one is served. */
export class ProtocolError extends Error {
  static {
    this.prototype.name = "ProtocolError";
  }
}

/** The device cannot begin: the image or the socket cannot be used, or an argument makes no sense. */
export class VhostError extends Error {
  static {
    this.prototype.name = "VhostError";
  }

  /**
   * Makes the error.
   *
   * @param message What was asked, and why it cannot be.
   * @param code The exit status.
   */
  constructor(message: string, readonly code: number = 1) {
    super(message);
  }
}
