/**
 * A clone: memory that maps the snapshot, and a virtual machine that continues with it.
 *
 * @module
 */
import { type GuestMemoryMmap, u64 } from "@vmm/guest-memory";
import { restore } from "@vmm/guest-memory/snapshot";
import { PausedVm } from "../microvm/paused_vm.ts";
import type { Base } from "./base.ts";
import { DONE, PATTERN, problemOf, registersOf } from "./guest.ts";

/** How long the start of a clone took, in milliseconds. */
export interface CloneTimes {
  /** From the call of `restore` to the end of the first read of memory. */
  readonly access: number;
  /** The virtual machine, with its memory and its virtual CPU. */
  readonly machine: number;
  /** The registers. */
  readonly load: number;
  /** The guest, until it exits. */
  readonly run: number;
  /** All of it: from the call of `restore` to the first exit. */
  readonly exit: number;
}

/** A clone that has made its first exit. */
export interface Clone extends Disposable {
  readonly number: number;
  readonly memory: GuestMemoryMmap;
  readonly times: CloneTimes;
}

/**
 * Starts a clone, and runs it until its first exit.
 *
 * @param base What it continues.
 * @param number Its number, which it finds in a register.
 * @param mode How its memory is made.
 */
export function startClone(base: Base, number: number, mode: "copyOnWrite" | "eager"): Clone {
  const { kvm, cpuid, ranges, fd, state } = base;
  const registers = { ...state.registers, ...registersOf(number) };
  const start = performance.now();
  const memory = restore(ranges, fd, { mode });
  memory.readObj(u64, PATTERN);
  const accessed = performance.now();
  using stack = new DisposableStack();
  const vm = stack.use(new PausedVm(kvm, memory, cpuid));
  const made = performance.now();
  vm.load({ ...state, registers });
  const loaded = performance.now();
  const written = vm.run();
  const exited = performance.now();
  if (written !== DONE) throw new Error(`clone ${number} wrote ${written}, not ${DONE}`);
  const resources = stack.move();
  return {
    number,
    memory,
    times: {
      access: accessed - start,
      machine: made - accessed,
      load: loaded - made,
      run: exited - loaded,
      exit: exited - start,
    },
    [Symbol.dispose]: () => resources.dispose(),
  };
}

/** What is wrong with clones, of which all have made their first exit: a text for each that is wrong. */
export function problemsOf(clones: readonly Clone[]): string[] {
  return clones.flatMap(({ number, memory }) => {
    const problem = problemOf(memory, number);
    return problem === undefined ? [] : [`clone ${number}: ${problem}`];
  });
}
