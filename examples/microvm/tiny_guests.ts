/**
 * Two guests small enough to be read whole, byte by byte. Each prints a text that the host left in
 * its memory, and then writes a page for each dot of a picture that the host left too.
 *
 * @module
 */
import { asSlice, GuestAddress, type GuestMemory, u32le } from "@vmm/guest-memory";
import { enterLongMode, enterRealMode } from "./cpu_modes.ts";
import { DOORBELL_PORT, STATUS_DONE } from "./doorbell.ts";

/** Where the program is. */
export const PROGRAM: GuestAddress = GuestAddress(0x1000);
/** Where the text for the serial port is, with a NUL at its end. */
const TEXT: GuestAddress = GuestAddress(0x2000);
/** Where the text for the doorbell is. */
const RUNG_TEXT: GuestAddress = GuestAddress(0x2800);
/** Where the picture is: a byte for each page. */
const PICTURE: GuestAddress = GuestAddress(0x3000);
/** Where the guest puts its request for the doorbell. */
const REQUEST = 0x4000;

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
  /** What it is to print in one go, if it can. */
  readonly rungText: string;
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
  const { program, text, rungText, picture, columns } = guest;
  const encoder = new TextEncoder();
  memory.writeSlice(program, PROGRAM);
  memory.writeSlice(encoder.encode(`${text}\0`), TEXT);
  memory.writeSlice(encoder.encode(rungText), RUNG_TEXT);
  const dots = picture.map((line) => line.padEnd(columns).replaceAll(/[^#]/g, "\0")).join("");
  memory.writeSlice(encoder.encode(dots), PICTURE);
}

function assembled(...parts: readonly (readonly number[] | Uint8Array)[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function word(value: number): Uint8Array {
  return asSlice(u32le, value);
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
  rungText: "",
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
const RUNG_TEXT_OF_LONG_MODE = "I rang once for this whole line: a device read it in my memory.\n";

/** 64 bits with page tables, as an operating system runs. */
export const LONG_MODE: TinyGuest = {
  name: "Long mode",
  memorySize: 3 * 2 ** 20,
  text: "64 bits: I exit to the host for every byte of this line.\n",
  rungText: RUNG_TEXT_OF_LONG_MODE,
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
    // A request for the device: where the text is, and how long.
    [0xbb, ...word(REQUEST)], //            mov  ebx, REQUEST
    [0x48, 0xc7, 0x03, ...word(RUNG_TEXT)], //  mov  qword [rbx], RUNG_TEXT
    [0xc7, 0x43, 0x08, ...word(RUNG_TEXT_OF_LONG_MODE.length)], // mov dword [rbx + 8], length
    [0xba, ...word(DOORBELL_PORT)], //      mov  edx, 0x600       the doorbell
    [0x89, 0xd8], //                        mov  eax, ebx
    [0xef], //                              out  dx, eax          exits once for all of it
    [0x83, 0x7b, 0x0c, STATUS_DONE], //     cmp  dword [rbx + 12], 1   what the device answered
    [0x74, 0x02], //                        je   done
    [0x0f, 0x0b], //                        ud2                   without handlers, the end
    // done:
    [0xf4], //                              hlt                   exits for good
  ),
  enter: (vcpuFd, memory) => enterLongMode(vcpuFd, memory, { entry: PROGRAM }),
};
