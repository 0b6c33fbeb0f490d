/**
 * The messages of QEMU's monitor: a line of JSON each (QEMU: docs/interop/qmp-spec.rst).
 *
 * @module
 */
import { GuestError } from "./guest_error.ts";

/** What QEMU says. */
export type QmpMessage =
  | { readonly kind: "greeting"; readonly version: string }
  | { readonly kind: "return"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number | undefined; readonly reason: string }
  | {
    readonly kind: "event";
    readonly event: string;
    readonly data: Readonly<Record<string, unknown>>;
  };

/**
 * What a line says.
 *
 * @param line A line of JSON.
 * @throws {GuestError} It is no message of QEMU.
 */
export function qmpMessageOf(line: string): QmpMessage {
  const message = objectOf(line);
  const { QMP, event, error, id } = message;
  const number = typeof id === "number" ? id : undefined;
  if (isObject(QMP)) {
    const qemu = isObject(QMP.version) && isObject(QMP.version.qemu) ? QMP.version.qemu : {};
    return { kind: "greeting", version: `${qemu.major}.${qemu.minor}.${qemu.micro}` };
  }
  if (typeof event === "string") {
    return { kind: "event", event, data: isObject(message.data) ? message.data : {} };
  }
  if (isObject(error)) return { kind: "error", id: number, reason: `${error.desc}` };
  if ("return" in message && number !== undefined) {
    return { kind: "return", id: number, value: message.return };
  }
  throw new GuestError(`QEMU's monitor sent what is no message: ${line.slice(0, 80)}`);
}

/** Splits what arrives into lines. */
export class Lines {
  #rest = "";

  /**
   * Takes a text.
   *
   * @param text What arrived.
   * @returns The lines that it completes, without empty ones.
   */
  take(text: string): string[] {
    const lines = `${this.#rest}${text}`.split("\n");
    this.#rest = lines.pop()!;
    return lines.map((line) => line.trim()).filter((line) => line !== "");
  }
}

function objectOf(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (isObject(value)) return value;
  } catch {
    // The error below says it.
  }
  throw new GuestError(`QEMU's monitor sent no JSON object: ${line.slice(0, 80)}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
