/**
 * Two guests small enough to be read whole, byte by byte. Each prints a text that the host left in
 * its memory, and then writes a page for each dot of a picture that the host left too.
 *
 * @module
 */
import { array, GuestAddress, type GuestMemory, u32le } from "@vmm/guest-memory";
import { assembled, word } from "./assembled.ts";
import { enterLongMode, enterRealMode } from "./cpu_modes.ts";
import { DRIVER_OK, NEGOTIATED, NEGOTIATION, TinyQueue, type Write } from "./tiny_driver.ts";
import { TRANSMIT_QUEUE } from "./virtio_console.ts";
import { MAGIC, Register, VIRTIO_START } from "./virtio_registers.ts";

/** Where the program is. */
export const PROGRAM: GuestAddress = GuestAddress(0x1000);
/** Where the text for the serial port is, with a NUL at its end. */
const TEXT: GuestAddress = GuestAddress(0x2000);
/** Where the texts for the virtio console are. */
const SENT_TEXTS: GuestAddress = GuestAddress(0x2800);
/** Where the picture is: a byte for each page. */
const PICTURE: GuestAddress = GuestAddress(0x3000);
/** Where the list of its driver is. */
const WRITES: GuestAddress = GuestAddress(0x3800);
/** Where the guest puts the queue of the console. */
const QUEUE: GuestAddress = GuestAddress(0x4000);

/** A guest. */
export interface TinyGuest {
  /** What it is called. */
  readonly name: string;
  /** Bytes of memory it gets. */
  readonly memorySize: number;
  /** Its program. */
  readonly program: Uint8Array;
  /** What it is to print byte by byte. */
  readonly text: string;
  /** What it is to print in one go, if it can: a text for each buffer. */
  readonly sentTexts: readonly string[];
  /** What its driver is to write, if it has one. */
  readonly writes: readonly Write[];
  /** The picture, a line for each row of pages. */
  readonly picture: readonly string[];
  /** Where the first page of the picture is. */
  readonly canvas: GuestAddress;
  /** Pages in a row. */
  readonly columns: number;
  /** Sets up the virtual CPU. */
  enter(vcpuFd: number, memory: GuestMemory): void;
}

/** Writes a guest's program and what it works with into its memory. */
export function writeGuest(memory: GuestMemory, guest: TinyGuest): void {
  const { program, text, sentTexts, writes, picture, columns } = guest;
  const encoder = new TextEncoder();
  memory.writeSlice(program, PROGRAM);
  memory.writeSlice(encoder.encode(`${text}\0`), TEXT);
  memory.writeSlice(encoder.encode(sentTexts.join("")), SENT_TEXTS);
  memory.writeObj(array(u32le, writes.length * 2), writes.flat(), WRITES);
  const dots = picture.map((line) => line.padEnd(columns).replaceAll(/[^#]/g, "\0")).join("");
  memory.writeSlice(encoder.encode(dots), PICTURE);
}

const REAL_PICTURE = [
  "  #  #  ###   ##  #    #  #  ##",
  "  ####   #   #    #    ## #  # #",
  "  #  #   #    ##  #    # ##  # #",
  "  #  #  ###  ##   ###  #  #  ##",
];

/** 16 bits, as every PC begins: segments of 64 KiB, and no more than 1 MiB. */
export const REAL_MODE: TinyGuest = {
  name: "Real mode",
  memorySize: 2 ** 20,
  text: "16 bits: I read this where the host wrote it, and print it.\n",
  sentTexts: [],
  writes: [],
  picture: REAL_PICTURE,
  canvas: GuestAddress(0x20000),
  columns: 32,
  program: assembled(
    [0xbe, 0x00, 0x20], //                  mov  si, TEXT
    [0xba, 0xf8, 0x03], //                  mov  dx, 0x3f8        the serial port
    // print:
    [0xac], //                              lodsb                 al = *si++
    [0x84, 0xc0], //                        test al, al
    [0x74, 0x03], //                        jz   draw             the NUL
    [0xee], //                              out  dx, al           exits to the host
    [0xeb, 0xf8], //                        jmp  print
    // draw:
    [0xbe, 0x00, 0x30], //                  mov  si, PICTURE
    [0xbb, 0x00, 0x20], //                  mov  bx, 0x2000       the canvas, as a segment
    [0xb9, 0x80, 0x00], //                  mov  cx, 128          pages: 4 rows of 32
    // page:
    [0xac], //                              lodsb
    [0x84, 0xc0], //                        test al, al
    [0x74, 0x06], //                        jz   skip             no dot here
    [0x8e, 0xc3], //                        mov  es, bx
    [0x26, 0xa2, 0x00, 0x00], //            mov  [es:0], al       makes the page dirty
    // skip:
    [0x81, 0xc3, 0x00, 0x01], //            add  bx, 0x100        a page in segments
    [0xe2, 0xef], //                        loop page
    [0xf4], //                              hlt                   exits for good
  ),
  enter: (vcpuFd) => enterRealMode(vcpuFd, { entry: PROGRAM }),
};

const LONG_PICTURE = [
  "     #   # ##### #     #      ###        #   # #   # #   #",
  "     #   # #     #     #     #   #       #  #  #   # ## ##",
  "     #   # #     #     #     #   #       # #   #   # # # #",
  "     ##### ####  #     #     #   #       ##    #   # # # #",
  "     #   # #     #     #     #   #       # #   #   # #   #",
  "     #   # #     #     #     #   #       #  #   # #  #   #",
  "     #   # ##### ##### #####  ###        #   #   #   #   #",
];
/** Two buffers, to show a chain. */
const SENT = [
  "64 bits: one notification for all of this line, ",
  "which a device reads.\n",
] as const;
const CONSOLE = new TinyQueue(TRANSMIT_QUEUE, QUEUE);
const SET_UP_AND_SEND: readonly Write[] = [
  ...CONSOLE.setUp(),
  DRIVER_OK,
  ...CONSOLE.request([
    { address: SENT_TEXTS, length: SENT[0].length },
    { address: GuestAddress(SENT_TEXTS + SENT[0].length), length: SENT[1].length },
  ]),
];

/** 64 bits with page tables, as an operating system runs. */
export const LONG_MODE: TinyGuest = {
  name: "Long mode",
  memorySize: 3 * 2 ** 20,
  text: "64 bits: I exit to the host for every byte of this line.\n",
  sentTexts: SENT,
  writes: [...NEGOTIATION, ...SET_UP_AND_SEND],
  picture: LONG_PICTURE,
  canvas: GuestAddress(0x100000),
  columns: 64,
  program: assembled(
    [0xbe, ...word(TEXT)], //               mov  esi, TEXT
    [0xba, ...word(0x3f8)], //              mov  edx, 0x3f8       the serial port
    // print:
    [0xac], //                              lodsb                 al = *rsi++
    [0x84, 0xc0], //                        test al, al
    [0x74, 0x03], //                        jz   draw             the NUL
    [0xee], //                              out  dx, al           exits to the host
    [0xeb, 0xf8], //                        jmp  print
    // draw:
    [0xbe, ...word(PICTURE)], //            mov  esi, PICTURE
    [0xbf, ...word(0x100000)], //           mov  edi, 0x100000    the canvas
    [0xb9, ...word(7 * 64)], //             mov  ecx, 448         pages
    // page:
    [0xac], //                              lodsb
    [0x84, 0xc0], //                        test al, al
    [0x74, 0x02], //                        jz   skip             no dot here
    [0x88, 0x07], //                        mov  [rdi], al        makes the page dirty
    // skip:
    [0x81, 0xc7, ...word(4096)], //         add  edi, 4096
    [0xff, 0xc9], //                        dec  ecx
    [0x75, 0xef], //                        jnz  page
    // The driver of the console.
    [0xbb, ...word(VIRTIO_START)], //       mov  ebx, VIRTIO_START
    [0x81, 0x3b, ...word(MAGIC)], //        cmp  dword [rbx], "virt"
    [0x75, 0x33], //                        jne  bad
    [0x83, 0x7b, Register.deviceId, 3], //  cmp  dword [rbx + 8], 3   a console
    [0x75, 0x2d], //                        jne  bad
    [0xbe, ...word(WRITES)], //             mov  esi, WRITES
    [0xb9, ...word(NEGOTIATION.length)], // mov  ecx, NEGOTIATION.length
    [0xe8, ...word(0x20)], //               call write
    [0x83, 0x7b, Register.status, NEGOTIATED], // cmp dword [rbx + 0x70], FEATURES_OK and others
    [0x75, 0x18], //                        jne  bad
    [0xb9, ...word(SET_UP_AND_SEND.length)], // mov ecx, SET_UP_AND_SEND.length
    [0xe8, ...word(0x10)], //               call write        the last one exits for a whole line
    [0x81, 0x3c, 0x25, ...word(CONSOLE.usedIndex), ...word(0x1_0000)], // cmp dword [used], 1 << 16
    [0x75, 0x01], //                        jne  bad
    [0xf4], //                              hlt               exits for good
    // bad:
    [0x0f, 0x0b], //                        ud2               without handlers, the end
    // write: ecx pairs of an address and a value
    [0xad], //                              lodsd
    [0x97], //                              xchg eax, edi
    [0xad], //                              lodsd
    [0x89, 0x07], //                        mov  [rdi], eax   exits where that is a register
    [0xe2, 0xf9], //                        loop write
    [0xc3], //                              ret
  ),
  enter: (vcpuFd, memory) => enterLongMode(vcpuFd, memory, { entry: PROGRAM }),
};
