/**
 * Tests that need KVM, and guests of a few bytes for them.
 *
 * @module
 */
import { type GuestAddress, GuestAddress as At, GuestMemoryMmap } from "@vmm/guest-memory";
import { enterLongMode, enterRealMode } from "../../../examples/microvm/cpu_modes.ts";
import type { Report } from "../../../examples/microvm/ending.ts";
import { Kvm } from "../../../examples/microvm/kvm.ts";
import { Machine, type MachineOptions } from "../../../examples/microvm/machine.ts";

export const PAGE = 4096;
/** Where the program of a guest goes. */
export const PROGRAM: GuestAddress = At(0x1000);
/** Where what the host prepares goes. */
export const DATA: GuestAddress = At(0x2000);

const whyNot = findWhyNot();

/** A test that runs a guest: ignored, and the name says why, where there is no KVM. */
export function kvmTest(name: string, fn: () => void | Promise<void>): void {
  const ignore = whyNot !== undefined;
  Deno.test({ name: ignore ? `${name} (ignored: ${whyNot})` : name, ignore, fn });
}

function findWhyNot(): string | undefined {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") return "needs Linux on x86-64";
  if (Deno.permissions.querySync({ name: "ffi" }).state !== "granted") return "needs --allow-ffi";
  try {
    using _kvm = new Kvm();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** A machine with a program in it, ready to run. */
export interface Guest {
  /** The 16-bit program, which begins at {@linkcode PROGRAM}; or a 64-bit one. */
  readonly program: readonly number[];
  /** Whether it is a 64-bit one. */
  readonly long?: boolean;
  /** The ranges of memory; 64 KiB from 0 by default. */
  readonly ranges?: readonly (readonly [GuestAddress, number])[];
  /** The memory, in place of ranges. */
  readonly memory?: GuestMemoryMmap;
  /** What else the machine has. */
  readonly options?: MachineOptions;
}

/** Makes a machine whose virtual CPUs all begin with the program. */
export async function makeGuest(
  { program, long = false, ranges = [[At(0), 0x1_0000]], memory, options }: Guest,
): Promise<Machine> {
  const ram = memory ?? GuestMemoryMmap.fromRanges(ranges);
  const machine = await Machine.create(ram, options);
  ram.writeSlice(Uint8Array.from(program), PROGRAM);
  for (const vcpuFd of machine.vcpuFds) {
    if (long) enterLongMode(vcpuFd, ram, { entry: PROGRAM });
    else enterRealMode(vcpuFd, { entry: PROGRAM });
  }
  return machine;
}

/** What a guest printed, and how its first virtual CPU ended. */
export interface Outcome {
  readonly text: string;
  readonly report: Report;
}

/** Runs a machine to its end. */
export async function run(machine: Machine): Promise<Outcome> {
  let text = "";
  const [report] = await machine.run((bytes) => text += new TextDecoder().decode(bytes));
  return { text, report: report! };
}
