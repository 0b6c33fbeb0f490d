/**
 * Where a machine's RAM is in the guest, and which part of its file that is.
 *
 * @module
 */
import { IntrospectError } from "./introspect_error.ts";

/** A part of the RAM. */
export interface Placed {
  /** The guest address of its first byte. */
  readonly startAddr: number;
  /** Bytes. */
  readonly len: number;
  /** Where it begins in the machine's RAM. */
  readonly offset: number;
}

/**
 * The parts of the RAM of QEMU's machines, by the size: what does not fit below the hole for devices
 * begins at 4 GiB. Hosts of AMD with a guest of 1 TiB or more have another hole, which QEMU's monitor
 * knows.
 *
 * @param machine The type, such as `q35`, also with a version, such as `pc-q35-7.2`.
 * @param size Bytes of RAM.
 * @throws {IntrospectError} The machine is not known.
 */
export function layoutOf(machine: string, size: number): Placed[] {
  if (/^(virt|sbsa)/.test(machine)) return [{ startAddr: GIB, len: size, offset: 0 }];
  const low = lowMemory(machine, size);
  const parts = [{ startAddr: 0, len: Math.min(low, size), offset: 0 }];
  if (size > low) parts.push({ startAddr: 4 * GIB, len: size - low, offset: low });
  return parts;
}

/** The type of machine that a command line of QEMU asks for. */
export function machineOf(words: readonly string[]): string {
  const value = valuesOf(words, ["-machine", "-M"]).map((text) => {
    const { first, type } = propertiesOf(text);
    return first || type;
  }).findLast((type) => type !== undefined && type !== "");
  // x86's default, as of 2026.
  return value ?? "pc";
}

/** Bytes of RAM that a command line of QEMU asks for, if it does: what is plugged in later is more. */
export function ramSizeOf(words: readonly string[]): number | undefined {
  const text = valuesOf(words, ["-m"]).at(-1) ?? "";
  const [, digits, unit = "M"] = /^(?:size=)?(\d+)([BKMGT])?(?:,|$)/i.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits) * UNITS[unit.toUpperCase()]!;
}

/** What the machine's RAM is called in QEMU, of a command line of QEMU. */
export function ramNamesOf(words: readonly string[]): string[] {
  const name = valuesOf(words, ["-machine", "-M"]).map((text) =>
    propertiesOf(text)["memory-backend"]
  ).findLast((name) => name !== undefined);
  return name === undefined ? ["pc.ram", "microvm.ram", "mach-virt.ram"] : [name];
}

/** The values of an option, each as it was given. */
export function valuesOf(words: readonly string[], names: readonly string[]): string[] {
  return words.flatMap((word, i) =>
    // Two dashes are as good.
    names.includes(word.replace(/^--/, "-")) && words[i + 1] !== undefined ? [words[i + 1]!] : []
  );
}

/** Properties by their names, and the value without a name that may come before them. */
export type Properties = Readonly<Record<string, string | undefined>> & { readonly first: string };

/** The properties of a value such as `q35,accel=kvm`. */
export function propertiesOf(value: string): Properties {
  const [head = "", ...rest] = value.split(",");
  const named = (head.includes("=") ? [head, ...rest] : rest).map((text) => {
    const at = text.indexOf("=");
    return at < 0 ? [text, "on"] : [text.slice(0, at), text.slice(at + 1)];
  });
  return { ...Object.fromEntries(named), first: head.includes("=") ? "" : head };
}

const GIB = 2 ** 30;
const UNITS: Record<string, number> = { B: 1, K: 2 ** 10, M: 2 ** 20, G: GIB, T: 2 ** 40 };

// hw/i386/pc_q35.c, pc_piix.c and microvm.c of QEMU: the hole is larger where the RAM does not fit
// below it anyway.
function lowMemory(machine: string, size: number): number {
  if (/q35/.test(machine)) return size >= 0xb000_0000 ? 0x8000_0000 : 0xb000_0000;
  if (/^microvm/.test(machine)) return 0xc000_0000;
  if (/^pc/.test(machine)) return size >= 0xe000_0000 ? 0xc000_0000 : 0xe000_0000;
  throw new IntrospectError(
    `where a machine ${JSON.stringify(machine)} has its RAM is not known: give --qmp to ask it`,
  );
}
