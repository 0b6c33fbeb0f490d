/**
 * The guest that is cloned: it runs until it pauses, and its memory is written to a file.
 *
 * @module
 */
import { FileOffset, type GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
import { type SnapshotReport, writeSnapshot } from "@vmm/guest-memory/snapshot";
import { openUnnamedFile } from "../lib/unnamed_file.ts";
import { enterLongMode } from "../microvm/cpu_modes.ts";
import type { CpuidEntry } from "../microvm/cpuid.ts";
import type { Kvm } from "../microvm/kvm.ts";
import { memoryRanges } from "../microvm/layout.ts";
import { MicrovmError } from "../microvm/microvm_error.ts";
import { PausedVm } from "../microvm/paused_vm.ts";
import type { VcpuState } from "../microvm/vcpu_state.ts";
import { CODE, PROGRAM, READY } from "./guest.ts";

/** What the names of the files begin with, as long as they have one. */
export const FILE_PREFIX = "guest-memory-clones-";

/** A snapshot that clones are made of. */
export interface Base extends Disposable {
  readonly kvm: Kvm;
  /** What KVM offers, asked once for all. */
  readonly cpuid: readonly CpuidEntry[];
  /** The ranges of the memory. */
  readonly ranges: readonly (readonly [GuestAddress, number])[];
  /** The descriptor of the file, which has no name any more. */
  readonly fd: number;
  /** The virtual CPU, as it was when the guest paused. */
  readonly state: VcpuState;
  /** What was done. */
  readonly snapshot: Snapshot;
}

/** How a snapshot came to be. Times are in milliseconds. */
export interface Snapshot extends SnapshotReport {
  /** The guest filled its memory. */
  readonly fill: number;
  /** The registers were saved. */
  readonly save: number;
  /** The memory was written. */
  readonly write: number;
  /** Bytes of blocks that the file takes. */
  readonly stored: number;
}

/**
 * Runs the guest until it pauses, and writes the snapshot. The guest is gone afterwards.
 *
 * @param kvm KVM.
 * @param size Bytes of memory.
 */
export async function makeBase(kvm: Kvm, size: number): Promise<Base> {
  using stack = new DisposableStack();
  const file = stack.use(openUnnamedFile(FILE_PREFIX));
  const cpuid = kvm.supportedCpuid();
  const ranges = memoryRanges(size);
  const memory = GuestMemoryMmap.fromRanges(ranges);
  using vm = new PausedVm(kvm, memory, cpuid);
  memory.writeSlice(CODE, PROGRAM);
  enterLongMode(vm.vcpuFd, memory, { entry: PROGRAM });

  const start = performance.now();
  const written = vm.run();
  if (written !== READY) throw new MicrovmError(`the guest wrote ${written}, not ${READY}`);
  const filled = performance.now();
  const state = vm.save();
  const saved = performance.now();
  const report = await writeSnapshot(memory, file);
  const write = performance.now() - saved;
  const stored = (file.statSync().blocks ?? 0) * 512;
  const snapshot = { ...report, fill: filled - start, save: saved - filled, write, stored };
  // Given a Deno.FsFile, each restore would look for its descriptor among all that are open.
  const { fd } = new FileOffset(file);
  const resources = stack.move();
  const base = { kvm, cpuid, ranges, fd, state, snapshot };
  return { ...base, [Symbol.dispose]: () => resources.dispose() };
}
