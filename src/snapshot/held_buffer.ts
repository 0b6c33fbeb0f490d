/**
 * Buffers that are used by their address.
 *
 * @module
 */
import { addressOf } from "../../ffi/io.ts";

/**
 * A buffer on the heap whose address is valid until the end of the scope. V8 frees what no code uses any
 * more, though a number has its address, and a variable its name.
 */
export class HeldBuffer implements Disposable {
  /** What is in it: zeros first. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where it begins. */
  readonly address: number;

  /**
   * Makes the buffer.
   *
   * @param length Its bytes.
   */
  constructor(length: number) {
    // V8 moves small arrays that it has made without a buffer.
    this.bytes = new Uint8Array(new ArrayBuffer(length));
    this.address = addressOf(this.bytes);
    held.add(this.bytes);
  }

  /** Lets V8 free it. */
  [Symbol.dispose](): void {
    held.delete(this.bytes);
  }
}

const held = new Set<Uint8Array>();
