/**
 * How a virtual CPU came to its end, and how to say so in one line.
 *
 * @module
 */
import { hex, hexBytes } from "../lib/units.ts";
import type { GeneralRegisters, SystemRegisters } from "./registers.ts";

/** Why a virtual CPU stopped for good. */
export type Ending =
  /** It executed `hlt`, and there are no interrupts to wait for. */
  | { readonly kind: "halted" }
  /** The guest reset the machine. */
  | { readonly kind: "reset" }
  /** The host asked for it. */
  | { readonly kind: "stopped" }
  /** It accessed an address where no memory is, or wrote where memory is read-only. */
  | {
    readonly kind: "mmio";
    readonly address: number;
    readonly length: number;
    /** The bytes it writes; `undefined` where it reads. */
    readonly written: Uint8Array | undefined;
  }
  /** It met an exception for which its kernel has no handler, while handling one of that kind. */
  | { readonly kind: "triple fault" }
  /** KVM could not continue: {@linkcode InternalErrorExit}. */
  | {
    readonly kind: "internal error";
    readonly suberror: number;
    readonly instruction: Uint8Array | undefined;
  }
  /** The processor refused to enter the guest. */
  | { readonly kind: "entry failed"; readonly reason: bigint }
  /** It stopped for a reason that this program does not know. */
  | { readonly kind: "unknown exit"; readonly reason: number }
  /** The program itself failed. */
  | { readonly kind: "failed"; readonly message: string };

/** The registers that say where a virtual CPU was. */
export interface Whereabouts {
  readonly registers: GeneralRegisters;
  readonly system: Pick<SystemRegisters, "cs" | "cr0" | "cr2" | "cr3" | "cr4" | "efer">;
}

/** Everything there is to say of a virtual CPU that has stopped. */
export interface Report {
  /** Its number. */
  readonly id: number;
  /** Why it stopped. */
  readonly ending: Ending;
  /** Where; `undefined` where that could not be asked. */
  readonly whereabouts: Whereabouts | undefined;
  /** How often it exited, by `KVM_EXIT_*`. */
  readonly exits: Uint32Array;
  /** When it exited first, in milliseconds since 1970; 0 where it never did. */
  readonly firstExit: number;
  /** When it ended, likewise. */
  readonly lastExit: number;
}

/** Whether an ending is what a guest, or the host, wanted. */
export function isRegular({ kind }: Ending): boolean {
  return kind === "halted" || kind === "reset" || kind === "stopped";
}

/** What happened and where, in one line. */
export function describeReport({ id, ending, whereabouts }: Report): string {
  const where = isRegular(ending) || whereabouts === undefined ? "" : ` at ${show(whereabouts)}`;
  return `vCPU ${id} ${describe(ending)}${where}`;
}

function describe(ending: Ending): string {
  switch (ending.kind) {
    case "halted":
      return "halted";
    case "reset":
      return "reset the machine";
    case "stopped":
      return "was stopped";
    case "mmio": {
      const { address, length, written } = ending;
      const access = written === undefined ? "read" : `wrote ${hexBytes(written)} as`;
      return `${access} ${length} bytes at ${hex(address)}, where it has no such memory,`;
    }
    case "triple fault":
      return "met an exception that it cannot handle (triple fault)";
    case "internal error": {
      const { suberror, instruction } = ending;
      const what = instruction === undefined
        ? ""
        : `: it cannot emulate the instruction ${hexBytes(instruction)}`;
      return `made KVM give up (internal error, suberror ${suberror}${what})`;
    }
    case "entry failed":
      return `could not be entered (hardware reason ${hex(ending.reason)})`;
    case "unknown exit":
      return `stopped for a reason that is not handled here (KVM_EXIT ${ending.reason})`;
    case "failed":
      return `failed: ${ending.message}`;
  }
}

function show({ registers, system }: Whereabouts): string {
  const { rip, rsp, rflags } = registers;
  const { cr0, cr2, cr3, cr4, cs } = system;
  const values = { rip, rsp, rflags, cs: cs.base, cr0, cr2, cr3, cr4, efer: system.efer };
  return Object.entries(values).map(([name, value]) => `${name} ${hex(value)}`)
    .join(", ");
}
