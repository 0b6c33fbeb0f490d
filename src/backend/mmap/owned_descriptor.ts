/**
 * Descriptors that an object owns.
 *
 * @module
 */
import { closeDescriptor } from "../../../ffi/descriptor.ts";
import { type Direction, endWaits, untilReady } from "../../../ffi/readiness.ts";
import { DescriptorClosed } from "../../../ffi/system_error.ts";
import { shown } from "../../text/argument.ts";

/** A descriptor that is closed once, and waited for until then. */
export class OwnedDescriptor {
  readonly #fd: number;
  readonly #name: string;
  #closed = false;

  /**
   * Takes a descriptor over.
   *
   * @param fd The descriptor.
   * @param name What its owner is called in errors.
   */
  constructor(fd: number, name: string) {
    this.#fd = fd;
    this.#name = name;
  }

  /**
   * The descriptor.
   *
   * @throws {DescriptorClosed} It is closed: the number may be another's.
   */
  get fd(): number {
    if (this.#closed) throw this.#closedError();
    return this.#fd;
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Waits until a call does not block.
   *
   * @throws {DescriptorClosed} It is closed, or closed meanwhile.
   * @throws {SystemError} It cannot be waited for.
   */
  async untilReady(direction: Direction): Promise<void> {
    await untilReady(this.fd, direction);
  }

  /** Ends what waits for it, then closes it. Does nothing again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      endWaits(this.#fd, this.#closedError());
    } finally {
      closeDescriptor(this.#fd);
    }
  }

  #closedError(): DescriptorClosed {
    return new DescriptorClosed(`Cannot use the ${this.#name}: it is closed`);
  }
}

/**
 * Refuses what no function of the library has made: the constructors of classes that own a descriptor
 * are private in TypeScript only, and a number could be another's descriptor.
 *
 * @param descriptor What a constructor was given.
 * @param instead How to make an object of the class.
 * @throws {TypeError} It is no {@linkcode OwnedDescriptor}.
 */
export function checkOwned(descriptor: OwnedDescriptor, instead: string): OwnedDescriptor {
  if (descriptor instanceof OwnedDescriptor) return descriptor;
  throw new TypeError(`Cannot own ${shown(descriptor)}: use ${instead}`);
}

/**
 * Refuses what is no descriptor.
 *
 * @returns The descriptor.
 * @throws {RangeError} It is not an integer in [0, 2^31).
 */
export function checkDescriptor(fd: number): number {
  if (Number.isInteger(fd) && fd >= 0 && fd < 2 ** 31) return fd;
  throw new RangeError(`Cannot use ${shown(fd)} as fd: not a file descriptor`);
}
