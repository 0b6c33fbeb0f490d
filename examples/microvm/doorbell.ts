/**
 * A device in the style of virtio: the guest leaves a request in its memory and rings once, where a
 * serial port would exit for every byte. It prints.
 *
 * What a request says are numbers that a guest wrote, so nothing of it is trusted: an address that
 * is in no memory is an answer to the guest, not an error of the machine.
 *
 * @module
 */
import {
  GuestAddress,
  type GuestAddressSpace,
  type GuestMemory,
  GuestMemoryError,
  struct,
  u32le,
  u64le,
} from "@vmm/guest-memory";
import type { PortDevice } from "./port_bus.ts";

/** The port to ring at: the guest writes the address of its request, as 32 bits. */
export const DOORBELL_PORT = 0x600;
/** The most that one request prints. */
const LONGEST = 4096;

/** A request: where the text is, and what became of it. */
const Request = struct({ address: u64le, length: u32le, status: u32le });

/** The text is printed. */
export const STATUS_DONE = 1;
/** The text is too long, or not all of it is in memory. */
export const STATUS_REFUSED = 2;

/** The device. */
export class Doorbell implements PortDevice {
  readonly #space: GuestAddressSpace;
  readonly #print: (text: Uint8Array) => void;

  /**
   * Connects the device.
   *
   * @param space The guest's memory, whose map may change between two requests.
   * @param print Takes the text.
   */
  constructor(space: GuestAddressSpace, print: (text: Uint8Array) => void) {
    this.#space = space;
    this.#print = print;
  }

  /** There is nothing to read. */
  read(): number {
    return 0;
  }

  /** Serves the request at an address. */
  write(_port: number, address: number): void {
    using current = this.#space.memory();
    const { memory } = current;
    // A request that is not in memory can have no answer.
    refusal(() => {
      const status = refusal(() => this.#serve(memory, address)) ?? STATUS_DONE;
      memory.writeObj(u32le, status, GuestAddress(address + Request.offsets.status));
    });
  }

  #serve(memory: GuestMemory, at: number): void {
    const { address, length } = memory.readObj(Request, GuestAddress(at));
    if (length > LONGEST) throw new RangeError(`Cannot print ${length} bytes`);
    const text = new Uint8Array(length);
    memory.readSlice(text, GuestAddress(address));
    this.#print(text);
  }
}

function refusal(action: () => void): typeof STATUS_REFUSED | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    // GuestAddress() refuses with RangeError what no address can be.
    if (error instanceof GuestMemoryError || error instanceof RangeError) return STATUS_REFUSED;
    throw error;
  }
}
