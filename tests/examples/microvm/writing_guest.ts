/**
 * A 64-bit program that performs the writes of a driver, which are in its memory.
 *
 * @module
 */
import { array, asSlice, u32le } from "@vmm/guest-memory";
import type { Machine } from "../../../examples/microvm/machine.ts";
import type { Write } from "../../../examples/microvm/tiny_driver.ts";
import { DATA } from "./kvm_guest.ts";

/** 32 bits as they are in an instruction. */
export function dword(value: number): Uint8Array {
  return asSlice(u32le, value);
}

/** The instructions: 17 bytes. They use rsi, rdi, rax and rcx. */
export function performWrites(writes: readonly Write[]): readonly number[] {
  return [
    ...[0xbe, ...dword(DATA)], // mov esi, DATA
    ...[0xb9, ...dword(writes.length)], // mov ecx, writes.length
    // again:
    ...[0xad, 0x97, 0xad], // lodsd; xchg eax, edi; lodsd
    ...[0x89, 0x07], // mov [rdi], eax
    ...[0xe2, 0xf9], // loop again
  ];
}

/** Leaves the writes where the program looks for them. */
export function leaveWrites(machine: Machine, writes: readonly Write[]): void {
  using current = machine.space.memory();
  current.memory.writeObj(array(u32le, writes.length * 2), writes.flat(), DATA);
}
