/**
 * A guest small enough to be read whole. It fills a part of its memory, pauses, and calculates
 * something from that part and from a number that it finds in a register when it continues.
 *
 * @module
 */
import { GuestAddress, type GuestMemory, u64 } from "@vmm/guest-memory";
import { assembled, word } from "../microvm/assembled.ts";

/** Where its program is. */
export const PROGRAM: GuestAddress = GuestAddress(0x1000);
/** Where it writes its result. */
export const RESULT: GuestAddress = GuestAddress(0x2000);
/** Where its pattern begins: in each page of 4 KiB, the page's own address times {@linkcode FACTOR}. */
export const PATTERN: GuestAddress = GuestAddress(0x20_0000);
/** The least memory that the pattern fits in. */
export const LEAST_MEMORY: number = 8 * 2 ** 20;
/** What it writes to the port when it has filled its memory. */
export const READY = 1;
/** What it writes when it has its result. */
export const DONE = 2;

const PAGE = 4096;
const PAGES = 1024;
const FACTOR = 0x9e37_79b1;
/** Where a clone writes one to sixteen pages more, by its number. */
const MORE: GuestAddress = GuestAddress(PATTERN + PAGES * PAGE);

/** Bytes of the pattern. */
export const PATTERN_SIZE: number = PAGES * PAGE;

/** The program, in 64 bits. */
export const CODE: Uint8Array = assembled(
  [0xbf, ...word(PATTERN)], //            mov  edi, PATTERN
  [0xb9, ...word(PAGES)], //              mov  ecx, PAGES
  [0xba, ...word(FACTOR)], //             mov  edx, FACTOR
  // fill:
  [0x48, 0x89, 0xf8], //                  mov  rax, rdi
  [0x48, 0x0f, 0xaf, 0xc2], //            imul rax, rdx
  [0x48, 0x89, 0x07], //                  mov  [rdi], rax
  [0x81, 0xc7, ...word(PAGE)], //         add  edi, PAGE
  [0xff, 0xc9], //                        dec  ecx
  [0x75, 0xec], //                        jnz  fill
  [0xb0, READY], //                       mov  al, READY
  [0xe6, 0x80], //                        out  PAUSE_PORT, al   exits to the host: the snapshot
  // A clone begins here, with its number in rbx.
  [0xbe, ...word(PATTERN)], //            mov  esi, PATTERN
  [0xb9, ...word(PAGES)], //              mov  ecx, PAGES
  [0x31, 0xc0], //                        xor  eax, eax
  // sum:
  [0x48, 0x03, 0x06], //                  add  rax, [rsi]
  [0x81, 0xc6, ...word(PAGE)], //         add  esi, PAGE
  [0xff, 0xc9], //                        dec  ecx
  [0x75, 0xf3], //                        jnz  sum
  [0x48, 0x0f, 0xaf, 0xda], //            imul rbx, rdx         FACTOR still
  [0x48, 0x01, 0xd8], //                  add  rax, rbx
  [0x48, 0x89, 0x04, 0x25, ...word(RESULT)], // mov [RESULT], rax
  [0xbf, ...word(MORE)], //               mov  edi, MORE
  // more: r8 pages
  [0x48, 0x89, 0x07], //                  mov  [rdi], rax
  [0x81, 0xc7, ...word(PAGE)], //         add  edi, PAGE
  [0x41, 0xff, 0xc8], //                  dec  r8d
  [0x75, 0xf2], //                        jnz  more
  [0xb0, DONE], //                        mov  al, DONE
  [0xe6, 0x80], //                        out  PAUSE_PORT, al   the first exit of a clone
);

/** The registers in which a clone finds its number, and how many pages it shall write. */
export function registersOf(number: number): { readonly rbx: bigint; readonly r8: bigint } {
  return { rbx: BigInt(number), r8: BigInt(morePages(number)) };
}

/** How many pages a clone writes beside that of its result. */
export function morePages(number: number): number {
  return number % 16 + 1;
}

/** What a clone's result has to be. */
export function expectedResult(number: number): bigint {
  const factor = BigInt(FACTOR);
  let sum = BigInt(number) * factor;
  for (let page = 0; page < PAGES; page++) sum += BigInt(PATTERN + page * PAGE) * factor;
  return BigInt.asUintN(64, sum);
}

/** What is wrong with the memory of a clone; `undefined` where it has its result, and all else. */
export function problemOf(memory: GuestMemory, number: number): string | undefined {
  const result = expectedResult(number);
  const found = memory.readObj(u64, RESULT);
  if (found !== result) return `its result is ${found}, not ${result}`;
  for (let page = 0; page < 16; page++) {
    const due = page < morePages(number) ? result : 0n;
    const found = memory.readObj(u64, GuestAddress(MORE + page * PAGE));
    if (found !== due) return `page ${page} after the pattern begins with ${found}, not ${due}`;
  }
  return undefined;
}
