/**
 * A serial port: an 8250 with a FIFO, the console of the simplest machine there is. The transmitter
 * takes no time: what the guest writes is sent immediately.
 *
 * Registers and bits as in the data sheet of the PC16550D and `linux/serial_reg.h`.
 *
 * @module
 */
import type { PortDevice } from "./port_bus.ts";

/** `COM1`. */
export const SERIAL_PORT = 0x3f8;
/** How many ports it has. */
export const SERIAL_PORTS = 8;
/** Its interrupt line. */
export const SERIAL_IRQ = 4;

// Registers by their offset. The first two are the divisor while DLAB is set.
const DATA = 0;
const INTERRUPT_ENABLE = 1;
const INTERRUPT_ID = 2; // To write: FIFO control.
const LINE_CONTROL = 3;
const MODEM_CONTROL = 4;
const LINE_STATUS = 5;
const MODEM_STATUS = 6;
const SCRATCH = 7;

const ENABLE_RECEIVED = 0x01;
const ENABLE_TRANSMITTER_EMPTY = 0x02;
const ID_NONE = 0x01;
const ID_TRANSMITTER_EMPTY = 0x02;
const ID_RECEIVED = 0x04;
const ID_FIFO_ENABLED = 0xc0;
const FIFO_ENABLE = 0x01;
const FIFO_CLEAR_RECEIVED = 0x02;
const DLAB = 0x80;
const LOOPBACK = 0x10;
const STATUS_DATA_READY = 0x01;
const STATUS_TRANSMITTER_EMPTY = 0x60;
// Carrier, data set ready and clear to send: the other end is connected.
const MODEM_READY = 0xb0;

/** Bytes that are sent on together at most. */
const BUFFER = 1024;
const LINE_FEED = 0x0a;

/** Where the serial port's wires lead. */
export interface SerialWires {
  /** Takes what the guest sent, a copy. */
  output(bytes: Uint8Array): void;
  /** Sets the level of the interrupt line; nobody cares by default. */
  interrupt?(level: boolean): void;
}

/** The serial port. */
export class Serial implements PortDevice {
  readonly #wires: SerialWires;
  readonly #sent = new Uint8Array(BUFFER);
  #sentLength = 0;
  readonly #received: number[] = [];
  #interruptEnable = 0;
  #fifoControl = 0;
  #lineControl = 0;
  #modemControl = 0;
  #scratch = 0;
  #divisor = 1;
  // Set when the transmitter became empty, and cleared when the guest has noticed.
  #transmitterEmptied = false;
  #level = false;

  /** Connects the port. */
  constructor(wires: SerialWires) {
    this.#wires = wires;
  }

  /** Gives the guest bytes to read. */
  receive(bytes: Uint8Array): void {
    for (const byte of bytes) this.#received.push(byte);
    this.#updateInterrupt();
  }

  /** Sends on what is held back until a line is complete. */
  flush(): void {
    if (this.#sentLength === 0) return;
    const sent = this.#sent.slice(0, this.#sentLength);
    this.#sentLength = 0;
    this.#wires.output(sent);
  }

  /** What the guest reads from a register. */
  read(port: number): number {
    const latched = (this.#lineControl & DLAB) !== 0;
    switch (port - SERIAL_PORT) {
      case DATA:
        return latched ? this.#divisor & 0xff : this.#readData();
      case INTERRUPT_ENABLE:
        return latched ? this.#divisor >>> 8 : this.#interruptEnable;
      case INTERRUPT_ID:
        return this.#readInterruptId();
      case LINE_CONTROL:
        return this.#lineControl;
      case MODEM_CONTROL:
        return this.#modemControl;
      case LINE_STATUS:
        return STATUS_TRANSMITTER_EMPTY | (this.#received.length > 0 ? STATUS_DATA_READY : 0);
      case MODEM_STATUS:
        return this.#modemStatus();
      default:
        return this.#scratch;
    }
  }

  /** Takes what the guest writes to a register. */
  write(port: number, value: number): void {
    const latched = (this.#lineControl & DLAB) !== 0;
    switch (port - SERIAL_PORT) {
      case DATA:
        if (latched) this.#divisor = this.#divisor & 0xff00 | value & 0xff;
        else this.#send(value & 0xff);
        break;
      case INTERRUPT_ENABLE:
        if (latched) this.#divisor = (value & 0xff) << 8 | this.#divisor & 0xff;
        else this.#enableInterrupts(value & 0x0f);
        break;
      case INTERRUPT_ID:
        this.#fifoControl = value;
        if ((value & FIFO_CLEAR_RECEIVED) !== 0) this.#received.length = 0;
        this.#updateInterrupt();
        break;
      case LINE_CONTROL:
        this.#lineControl = value & 0xff;
        break;
      case MODEM_CONTROL:
        this.#modemControl = value & 0x1f;
        break;
      case SCRATCH:
        this.#scratch = value & 0xff;
        break;
    }
  }

  #send(byte: number): void {
    if ((this.#modemControl & LOOPBACK) !== 0) {
      this.#received.push(byte);
    } else {
      this.#sent[this.#sentLength++] = byte;
      if (byte === LINE_FEED || this.#sentLength === BUFFER) this.flush();
    }
    this.#transmitterEmptied = true;
    this.#updateInterrupt();
  }

  #readData(): number {
    const byte = this.#received.shift() ?? 0;
    this.#updateInterrupt();
    return byte;
  }

  #enableInterrupts(value: number): void {
    // A driver has come to the end of what it has to send: show it, also where no line ends.
    this.flush();
    const enabled = value & ~this.#interruptEnable;
    if ((enabled & ENABLE_TRANSMITTER_EMPTY) !== 0) this.#transmitterEmptied = true;
    this.#interruptEnable = value;
    this.#updateInterrupt();
  }

  #readInterruptId(): number {
    const id = this.#pendingInterrupt();
    if (id === ID_TRANSMITTER_EMPTY) {
      this.#transmitterEmptied = false;
      this.#updateInterrupt();
    }
    return id | ((this.#fifoControl & FIFO_ENABLE) !== 0 ? ID_FIFO_ENABLED : 0);
  }

  // In loopback, the outputs of the modem's lines are their inputs, crossed over.
  #modemStatus(): number {
    const control = this.#modemControl;
    if ((control & LOOPBACK) === 0) return MODEM_READY;
    return (control & 0x0c) << 4 | (control & 0x02) << 3 | (control & 0x01) << 5;
  }

  #pendingInterrupt(): number {
    const enabled = this.#interruptEnable;
    if ((enabled & ENABLE_RECEIVED) !== 0 && this.#received.length > 0) return ID_RECEIVED;
    if ((enabled & ENABLE_TRANSMITTER_EMPTY) !== 0 && this.#transmitterEmptied) {
      return ID_TRANSMITTER_EMPTY;
    }
    return ID_NONE;
  }

  #updateInterrupt(): void {
    const level = this.#pendingInterrupt() !== ID_NONE;
    if (level === this.#level) return;
    this.#level = level;
    this.#wires.interrupt?.(level);
  }
}
