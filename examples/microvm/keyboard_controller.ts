/**
 * The one thing that a PC's keyboard controller (i8042) is still good for: to reset the machine.
 * Linux does so with `reboot=k`.
 *
 * @module
 */
import type { PortDevice } from "./port_bus.ts";

/** Its status when read, its commands when written. */
export const KEYBOARD_COMMAND_PORT = 0x64;
/** Pulses the line that resets the processor. */
const RESET = 0xfe;

/** A keyboard controller without a keyboard. */
export class KeyboardController implements PortDevice {
  readonly #onReset: () => void;

  /** Connects the reset line. */
  constructor(onReset: () => void) {
    this.#onReset = onReset;
  }

  /** The status: ready for commands, and nothing to read. */
  read(): number {
    return 0;
  }

  /** Takes a command. */
  write(_port: number, value: number): void {
    if ((value & 0xff) === RESET) this.#onReset();
  }
}
