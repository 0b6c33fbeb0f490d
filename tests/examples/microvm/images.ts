/**
 * Kernels of a few bytes, as files: made from the specifications, not with the code under test.
 *
 * @module
 */
import { ImageFile } from "../../../examples/microvm/image_file.ts";
import { makeElf, type SegmentToMake, TemporaryFile } from "../elf_builder.ts";

/** Where the kernels here are. */
export const KERNEL = 0x10_0000;
/** `__START_KERNEL_map` of Linux: the virtual address of physical address 0, where a kernel is. */
export const KERNEL_BASE = 0xffff_ffff_8000_0000n;

/** 64-bit code that prints "ok" and a line feed, and resets the machine. */
export const PRINT_AND_RESET: Uint8Array = Uint8Array.of(
  ...[0xba, 0xf8, 0x03, 0x00, 0x00], // mov edx, 0x3f8
  ...[0xb0, 0x6f, 0xee], // mov al, "o"; out dx, al
  ...[0xb0, 0x6b, 0xee], // mov al, "k"; out dx, al
  ...[0xb0, 0x0a, 0xee], // mov al, "\n"; out dx, al
  ...[0xb0, 0xfe, 0xe6, 0x64], // mov al, 0xfe; out 0x64, al
  0xf4, // hlt
);

/** 64-bit code that prints "ok" and a line feed, and waits for an interrupt that never comes. */
export const PRINT_AND_WAIT: Uint8Array = Uint8Array.of(
  ...PRINT_AND_RESET.subarray(0, 14),
  ...[0xfa, 0xf4], // cli; hlt
);

/** A kernel that is an ELF file, with code at its entry. */
export function elfKernel(code: Uint8Array, ...others: SegmentToMake[]): Uint8Array {
  const [paddr, memsz] = [BigInt(KERNEL), BigInt(Math.max(code.length, 0x1000))];
  return makeElf([{ data: code, paddr, vaddr: KERNEL_BASE + paddr, memsz }, ...others]);
}

/** A segment of notes that names a PVH entry, after another note. */
export function pvhNote(entry: number): SegmentToMake {
  const note = new DataView(new ArrayBuffer(64));
  // Name size, description size, type, name, description, each padded to 4 bytes.
  [4, 5, 18, 0x00554e47, 0, 0].forEach((word, i) => note.setUint32(i * 4, word, true));
  [4, 8, 18, 0x006e6558, entry, 0].forEach((word, i) => note.setUint32(24 + i * 4, word, true));
  return { data: new Uint8Array(note.buffer), paddr: 0n, type: 4 };
}

/** What a bzImage says of itself: Documentation/arch/x86/boot.rst. */
export interface BzImage {
  readonly code: Uint8Array;
  readonly setupSectors?: number;
  readonly version?: number;
  readonly loadFlags?: number;
  readonly extendedLoadFlags?: number;
  readonly initSize?: number;
  readonly commandLineSize?: number;
  readonly payload?: Uint8Array;
}

/** A kernel that is a bzImage, with code at its 64-bit entry. */
export function bzImage(image: BzImage): Uint8Array {
  const { code, setupSectors = 2, payload = new Uint8Array() } = image;
  const start = ((setupSectors || 4) + 1) * 512;
  const file = new Uint8Array(start + 0x200 + code.length + payload.length);
  const view = new DataView(file.buffer);
  view.setUint8(0x1f1, setupSectors);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint16(0x200, 0x66eb, true);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, image.version ?? 0x20f, true);
  view.setUint8(0x211, image.loadFlags ?? 1);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint32(0x230, 0x20_0000, true);
  view.setUint16(0x236, image.extendedLoadFlags ?? 1, true);
  view.setUint32(0x238, image.commandLineSize ?? 2047, true);
  view.setUint32(0x248, 0x200 + code.length, true);
  view.setUint32(0x24c, payload.length, true);
  view.setBigUint64(0x258, BigInt(KERNEL), true);
  view.setUint32(0x260, image.initSize ?? 0x10_0000, true);
  file.set(code, start + 0x200);
  file.set(payload, start + 0x200 + code.length);
  return file;
}

/** An open image with some content, whose file goes with it. */
export class TemporaryImage extends ImageFile {
  readonly #temporary: TemporaryFile;

  constructor(content: Uint8Array) {
    const temporary = new TemporaryFile(content);
    super(temporary.path);
    this.#temporary = temporary;
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#temporary[Symbol.dispose]();
  }
}
