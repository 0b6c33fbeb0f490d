/**
 * Runs the tiny guests and shows what there is to see.
 *
 * @module
 */
import { AtomicBitmap, GuestAddress, GuestMemoryMmap, u8 } from "@vmm/guest-memory";
import type { Output } from "../lib/output.ts";
import type { Paint } from "../lib/terminal.ts";
import { count, duration, size } from "../lib/units.ts";
import { describeReport, isRegular, type Report } from "./ending.ts";
import { EXIT_NAMES } from "./exit_loop.ts";
import { Machine } from "./machine.ts";
import { MicrovmError } from "./microvm_error.ts";
import { drawWriters, GLYPHS } from "./page_picture.ts";
import { LONG_MODE, REAL_MODE, type TinyGuest, writeGuest } from "./tiny_guests.ts";

const PAGE = 4096;

/**
 * Runs both guests, one after the other.
 *
 * @param device KVM's device.
 * @param output Where to show it.
 */
export async function sayHello(device: string, output: Output): Promise<void> {
  const { paint, print } = output;
  const first = await runGuest(REAL_MODE, device, output);
  await runGuest(LONG_MODE, device, output);
  const { host, guest, both } = GLYPHS;
  print([
    paint("dim", "Each character is a page of 4 KiB. Who wrote it: ") +
    `${paint("blue", host)} host  ${paint("green", guest)} guest  ${paint("yellow", both)} both`,
    `First output ${duration(first - performance.timeOrigin)} after the program began, ` +
    `all done after ${duration(performance.now())}.`,
  ]);
}

/** What happened. Times are in milliseconds since 1970. */
interface Run {
  readonly text: string;
  readonly report: Report;
  readonly began: number;
  readonly firstOutput: number;
  readonly ended: number;
}

// Returns when the first output came.
async function runGuest(
  guest: TinyGuest,
  device: string,
  { paint, print, columns: width }: Output,
): Promise<number> {
  const began = performance.timeOrigin + performance.now();
  const dirty = new AtomicBitmap(guest.memorySize, PAGE);
  const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), guest.memorySize]], {
    bitmap: () => dirty,
  });
  await using machine = await Machine.create(memory, { device, trackDirtyPages: true });
  writeGuest(memory, guest);
  guest.enter(machine.vcpuFds[0]!, memory);
  let [text, firstOutput] = ["", 0];
  const [report] = await machine.run((bytes, time) => {
    firstOutput ||= time;
    text += new TextDecoder().decode(bytes);
  });
  const ended = performance.timeOrigin + performance.now();
  if (!isRegular(report!.ending)) throw new MicrovmError(describeReport(report!));

  // What the host wrote is marked already; what the guest wrote, KVM knows.
  const byHost = new AtomicBitmap(guest.memorySize, PAGE);
  byHost.merge(dirty);
  const byGuest = new AtomicBitmap(guest.memorySize, PAGE);
  byGuest.merge(machine.collectDirtyPages().get(GuestAddress(0))!);

  const { name, program, memorySize, columns } = guest;
  print([
    `${paint("bold", name)}: ${program.length} bytes of program in ${size(memorySize)} of memory`,
    ...facts({ text, report: report!, began, firstOutput, ended }, paint),
    fact("found", `by the host afterwards: ${describeDots(memory, guest)}`, paint),
    fact(
      "pages",
      `${byHost.dirtyPages} written by the host, ${byGuest.dirtyPages} by the guest, ` +
        `${dirty.dirtyPages} in all`,
      paint,
    ),
    "",
    ...drawWriters(byHost, byGuest, columns, paint, width),
    "",
  ]);
  return firstOutput;
}

function facts({ text, report, began, firstOutput, ended }: Run, paint: Paint): string[] {
  const output = duration(firstOutput - began);
  return [
    ...text.trimEnd().split("\n").map((line) => fact("prints", paint("cyan", line), paint)),
    fact("exits", describeExits(report), paint),
    fact("time", `first output after ${output}, end after ${duration(ended - began)}`, paint),
  ];
}

function fact(name: string, value: string, paint: Paint): string {
  return `  ${paint("dim", name.padEnd(8))}${value}`;
}

function describeExits({ exits }: Report): string {
  const kinds = Array.from(exits, (times, reason) => [times, reason] as const)
    .filter(([times]) => times > 0)
    .map(([times, reason]) => `${times} ${EXIT_NAMES[reason] ?? `KVM_EXIT ${reason}`}`);
  return `${exits.reduce((sum, times) => sum + times)}: ${kinds.join(", ")}`;
}

// What the guest wrote is in the host's hands without a copy.
function describeDots(memory: GuestMemoryMmap, { picture, columns, canvas }: TinyGuest): string {
  const pages = picture.length * columns;
  let dots = 0;
  for (let page = 0; page < pages; page++) {
    if (memory.readObj(u8, GuestAddress(canvas + page * PAGE)) !== 0) dots++;
  }
  return `${count(dots, "dot")} in ${pages} pages`;
}
