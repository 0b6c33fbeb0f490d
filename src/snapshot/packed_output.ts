/**
 * A file that takes bytes one after the other, from wherever they are.
 *
 * @module
 */
import { MAX_VECTORS, setVector, takeVector, transferVector } from "../../ffi/io.ts";
import { Output } from "./transfer.ts";

/**
 * Writes bytes one after the other, from its own position on, and as many pieces of memory in a call as
 * it takes (`pwritev(2)`). Between two calls of {@linkcode PackedOutput.flush} no code may run
 * that could unmap the memory.
 */
export class PackedOutput extends Output {
  // The address and the bytes of each piece that is not written yet.
  readonly #pieces = new Float64Array(2 * MAX_VECTORS);
  #count = 0;

  override write(address: number, length: number): void {
    if (this.#count === MAX_VECTORS) this.flush();
    const at = 2 * this.#count++;
    this.#pieces[at] = address;
    this.#pieces[at + 1] = length;
  }

  override flush(): void {
    const count = this.#count;
    if (count === 0) return;
    const pieces = this.#pieces;
    const vector = takeVector();
    for (let i = 0; i < count; i++) setVector(vector, i, pieces[2 * i]!, pieces[2 * i + 1]!);
    this.#count = 0;
    let done = transferVector("write", this.fd, vector, count, this.position);
    this.add(done, this.position);
    // A call that was cut off: the storage may be full, which the next one says.
    for (let i = 0; i < count; i++) {
      const length = pieces[2 * i + 1]!;
      if (done < length) super.write(pieces[2 * i]! + done, length - done, this.position);
      done = Math.max(done - length, 0);
    }
  }
}
