/**
 * The modes that a virtual CPU can begin in: 16 bits as a PC is switched on, 32 bits as PVH wants
 * it, 64 bits as Linux wants it.
 *
 * @module
 */
import { array, GuestAddress, type GuestMemory, u64 } from "@vmm/guest-memory";
import { GDT, IDT, PAGE_TABLES, STACK_TOP } from "./layout.ts";
import {
  type GeneralRegisters,
  getSystemRegisters,
  type Segment,
  setRegisters,
  setSystemRegisters,
  type SystemRegisters,
} from "./registers.ts";

// Intel SDM, volume 3A: 2.5 "Control registers", 2.2.1 "Extended feature enable register".
const CR0_PE = 1n;
const CR0_ET = 1n << 4n;
const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
const EFER_LME = 1n << 8n;
const EFER_LMA = 1n << 10n;
// 4.5 "4-level paging": present, writable; a page directory's entry may be a page of 2 MiB itself.
const PRESENT_AND_WRITABLE = 0x3n;
const LARGE_PAGE = 0x80n;
/** Bit 1 of rflags is always set. */
const RFLAGS = 2n;

/** How a virtual CPU begins. */
export interface Start {
  /** Where its first instruction is. */
  readonly entry: number;
  /** Other registers; those that are not given are 0. */
  readonly registers?: Partial<GeneralRegisters>;
}

/** 16-bit real mode: a segment is a base of 16 times its number. */
export function enterRealMode(vcpuFd: number, { entry, registers }: Start): void {
  const system = getSystemRegisters(vcpuFd);
  // Out of reset, the code segment is at the top of 4 GiB, where a PC has its BIOS.
  Object.assign(system.cs, { base: 0n, selector: 0 });
  setSystemRegisters(vcpuFd, system);
  setRegisters(vcpuFd, { rip: BigInt(entry), rflags: RFLAGS, ...registers });
}

// Access bytes of descriptors, Intel SDM, volume 3A, 3.4.5: type 0xb is code (or a TSS that is in
// use), type 3 is data; s says that it is no system segment; g counts the limit in pages.
const CODE = { type: 0xb, s: 1, g: 1, limit: 0xffff_ffff };
const DATA = { type: 3, s: 1, g: 1, db: 1, limit: 0xffff_ffff };

/**
 * 64-bit long mode, with the first 4 GiB at the same virtual and physical addresses.
 *
 * @param vcpuFd The virtual CPU.
 * @param memory Gets the tables that the mode takes.
 * @param start Where it begins.
 */
export function enterLongMode(
  vcpuFd: number,
  memory: GuestMemory,
  { entry, registers }: Start,
): void {
  const system = getSystemRegisters(vcpuFd);
  setSegments(memory, system, { ...CODE, l: 1 }, 0xffff_ffff);
  writePageTables(memory);
  system.cr3 = BigInt(PAGE_TABLES);
  system.cr4 |= CR4_PAE;
  system.cr0 |= CR0_PE | CR0_PG;
  system.efer |= EFER_LME | EFER_LMA;
  setSystemRegisters(vcpuFd, system);
  const stack = BigInt(STACK_TOP);
  setRegisters(vcpuFd, {
    rip: BigInt(entry),
    rsp: stack,
    rbp: stack,
    rflags: RFLAGS,
    ...registers,
  });
}

/** 32-bit protected mode without paging: what PVH begins in. */
export function enterProtectedMode(
  vcpuFd: number,
  memory: GuestMemory,
  { entry, registers }: Start,
): void {
  const system = getSystemRegisters(vcpuFd);
  // PVH (Xen's docs/misc/pvh.pandoc) wants a TSS of 0x67 bytes, the least there is.
  setSegments(memory, system, { ...CODE, db: 1 }, 0x67);
  system.cr0 = CR0_PE | CR0_ET;
  system.cr4 = 0n;
  setSystemRegisters(vcpuFd, system);
  setRegisters(vcpuFd, { rip: BigInt(entry), rflags: RFLAGS, ...registers });
}

// A table of nothing, code, data and a task; the selectors count its bytes.
function setSegments(
  memory: GuestMemory,
  system: SystemRegisters,
  code: Partial<Segment>,
  taskLimit: number,
): void {
  const cs = segment({ ...code, selector: 0x08 });
  const data = segment({ ...DATA, selector: 0x10 });
  const tr = segment({ type: 0xb, limit: taskLimit, selector: 0x18 });
  const table = [0n, descriptor(cs), descriptor(data), descriptor(tr)];
  memory.writeObj(array(u64, table.length), table, GDT);
  memory.writeObj(u64, 0n, IDT);
  Object.assign(system, { cs, tr, ds: data, es: data, fs: data, gs: data, ss: data });
  Object.assign(system.gdt, { base: BigInt(GDT), limit: table.length * 8 - 1 });
  Object.assign(system.idt, { base: BigInt(IDT), limit: 7 });
}

function segment(values: Partial<Segment>): Segment {
  const nothing = { dpl: 0, db: 0, s: 0, l: 0, g: 0, avl: 0, unusable: 0, padding: 0 };
  return { ...nothing, base: 0n, limit: 0, selector: 0, type: 0, present: 1, ...values };
}

// Intel SDM, volume 3A, 3.4.5 "Segment descriptors", for a base of 0.
function descriptor({ limit, type, present, dpl, s, l, db, g }: Segment): bigint {
  const pages = g === 1 ? limit / 4096 : limit;
  const access = type | s << 4 | dpl << 5 | present << 7;
  const flags = l << 1 | db << 2 | g << 3;
  const low = BigInt(pages & 0xffff) | BigInt(access) << 40n;
  return low | BigInt(pages >>> 16 & 0xf) << 48n | BigInt(flags) << 52n;
}

// One table of each of the upper two levels, and four page directories of 1 GiB each.
function writePageTables(memory: GuestMemory): void {
  const page = (n: number) => GuestAddress(PAGE_TABLES + n * 4096);
  const pointer = (n: number) => BigInt(page(n)) | PRESENT_AND_WRITABLE;
  memory.writeObj(u64, pointer(1), page(0));
  memory.writeObj(array(u64, 4), [pointer(2), pointer(3), pointer(4), pointer(5)], page(1));
  const directories = BigUint64Array.from(
    { length: 4 * 512 },
    (_, i) => BigInt(i) << 21n | LARGE_PAGE | PRESENT_AND_WRITABLE,
  );
  memory.getSlice(page(2), directories.byteLength).copyFrom(directories);
}
