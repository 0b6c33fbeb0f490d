import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Connection } from "../../../examples/migrate/connection.ts";
import { receiveMemory, receivePages, takeGuest } from "../../../examples/migrate/destination.ts";
import { mapGuest, type TrackerName } from "../../../examples/migrate/guest.ts";
import { PeerLost, WrongFormat } from "../../../examples/migrate/migrate_error.ts";
import { CPU_STATE } from "../../../examples/migrate/virtual_machine.ts";
import {
  encodeFrame,
  encodeHello,
  encodeNumbers,
  encodeRuns,
  FRAME_LENGTH,
} from "../../../examples/migrate/wire.ts";
import {
  type GuestAddress,
  type GuestMemoryMmap,
  type GuestRange,
  pageSize,
  SystemError,
} from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { gpa } from "../../support/values.ts";
import { kvmTest } from "../microvm/kvm_guest.ts";
import { Ends } from "./ends.ts";

function table(...runs: GuestRange[]): Uint8Array {
  return encodeRuns(runs, new Uint8Array(runs.length * 16));
}

function hello(...regions: GuestRange[]): Uint8Array[] {
  return helloOf("bitmap", ...regions);
}

function helloOf(tracker: TrackerName, ...regions: GuestRange[]): Uint8Array[] {
  const bytes = encodeHello({ pageSize: pageSize(), regions: regions.length, rate: 1, tracker });
  return [bytes, table(...regions)];
}

function pages(bytes: number, ...runs: GuestRange[]): Uint8Array[] {
  return [encodeFrame({ type: "pages", count: runs.length, bytes }), table(...runs)];
}

// What receives the parts, whose sender then closes the connection, or is silent.
function receiving<T>(
  parts: readonly Uint8Array[],
  receive: (connection: Connection) => T,
  closes: boolean = true,
): T {
  using ends = new Ends();
  for (const part of parts) ends.far.send(part);
  if (closes) ends.far[Symbol.dispose]();
  return receive(ends.near);
}

function twoRegions(): GuestMemoryMmap {
  const page = pageSize();
  return mapGuest([[gpa(0), 4 * page], [gpa(8 * page), 4 * page]]);
}

linuxTest("receiveMemory() maps what the source describes", () => {
  const regions: [GuestAddress, number][] = [[gpa(0), 2 * pageSize()], [gpa(2 ** 32), pageSize()]];
  const { memory, hello: { rate, tracker } } = receiving(hello(...regions), receiveMemory);
  using _memory = memory;
  assertEquals([rate, tracker], [1, "bitmap"]);
  assertEquals(Array.from(memory, ({ startAddr, len }) => [startAddr, len]), regions);
});

linuxTest("receiveMemory() refuses what is no guest", () => {
  const page = pageSize();
  const refuses = (parts: Uint8Array[], kind: typeof WrongFormat, reason: string) =>
    assertThrows(() => receiving(parts, receiveMemory), kind, reason);
  const text = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  refuses([text], WrongFormat, "this is no migration");
  refuses([text.subarray(0, 9)], PeerLost, "closed the connection");
  refuses([], PeerLost, "closed the connection");
  const [head] = hello([gpa(0), page]);
  refuses([head!, table([gpa(0), page]).subarray(1)], PeerLost, "closed");
  refuses([head!, table([gpa(1), page])], WrongFormat, "not whole pages");
  const same = hello([gpa(0), 2 * page], [gpa(page), page]);
  refuses(same, WrongFormat, "run 1");
  // Before anything is allocated for it.
  refuses(hello([gpa(0), 2 ** 52]), WrongFormat, "the guest has 4503599627370496 bytes");
});

linuxTest("a side that is silent counts as lost", () => {
  const silent = "the other side was silent for 0.02 s";
  assertThrows(() => receiving([], receiveMemory, false), PeerLost, silent);
  using ends = new Ends();
  // More than the socket has room for.
  assertThrows(() => ends.far.send(new Uint8Array(2 ** 24)), PeerLost, silent);
});

linuxTest("a side that takes no more counts as lost", () => {
  using ends = new Ends();
  ends.far[Symbol.dispose]();
  assertThrows(() => ends.near.send(new Uint8Array(1)), PeerLost, "closed the connection");
});

linuxTest("receivePages() fills the ranges of each frame", () => {
  const page = pageSize();
  using memory = twoRegions();
  using ends = new Ends();
  const data = new Uint8Array(3 * page).map((_, i) => i / 16);
  // The second run is after the hole.
  for (const part of pages(3 * page, [gpa(page), 2 * page], [gpa(9 * page), page])) {
    ends.far.send(part);
  }
  ends.far.send(data);
  ends.far.send(encodeFrame({ type: "endOfRound", count: 5, bytes: 0 }));
  ends.far.send(encodeFrame({ type: "resume", count: 0, bytes: 8 }));
  ends.far.send(encodeNumbers(1234));
  assertEquals(receivePages(ends.near, memory).steps, 1234);
  assertEquals(
    ends.far.receive(FRAME_LENGTH),
    encodeFrame({ type: "endOfRound", count: 5, bytes: 0 }),
  );
  const received = new Uint8Array(3 * page);
  memory.readSlice(received.subarray(0, 2 * page), gpa(page));
  memory.readSlice(received.subarray(2 * page), gpa(9 * page));
  assertEquals(received, data);
  assertEquals(memory.residentRanges(), [[gpa(page), 2 * page], [gpa(9 * page), page]]);
});

linuxTest("receivePages() refuses what does not fit the guest", () => {
  const page = pageSize();
  using memory = twoRegions();
  const refuses = (parts: Uint8Array[], reason: string) =>
    assertThrows(
      () => receiving(parts, (connection) => receivePages(connection, memory)),
      WrongFormat,
      reason,
    );
  const beyond = (...runs: GuestRange[]) =>
    refuses(
      pages(runs.reduce((sum, [, length]) => sum + length, 0), ...runs),
      `the guest has no memory for ${runs.at(-1)![1]} bytes`,
    );
  beyond([gpa(4 * page), page]);
  beyond([gpa(3 * page), 2 * page]);
  beyond([gpa(0), 12 * page]);
  beyond([gpa(0), page], [gpa(2 ** 40), page]);
  refuses(pages(page, [gpa(0), 2 * page]), "runs of 8192 bytes came where 4096 were");
  refuses(pages(3 * page, [gpa(0), 2 * page]), "runs of 8192 bytes came where 12288 were");
  refuses([encodeFrame({ type: "ready", count: 0, bytes: 0 })], "ready came where pages");
  assertEquals(memory.residentRanges(), []);
});

linuxTest("a stream that ends anywhere ends the receiver", () => {
  const page = pageSize();
  using memory = twoRegions();
  const parts = [
    ...pages(page, [gpa(0), page]),
    new Uint8Array(page).fill(7),
    encodeFrame({ type: "resume", count: 0, bytes: 8 }),
    encodeNumbers(9),
  ];
  const stream = new Uint8Array(parts.flatMap((part) => [...part]));
  const receive = (connection: Connection) => receivePages(connection, memory);
  const table = FRAME_LENGTH + 16;
  const ends = [0, 1, FRAME_LENGTH, table - 1, table, table + 1, table + page, table + page + 3];
  for (const end of [...ends, stream.length - 1]) {
    assertThrows(() => receiving([stream.subarray(0, end)], receive), PeerLost, "closed");
  }
  assertEquals(receiving([stream], receive), { steps: 9, cpuState: new Uint8Array() });
});

linuxTest("a guest whose memory is not that of its steps does not run", async () => {
  using ends = new Ends();
  const parts = [
    ...hello([gpa(0), 2 ** 20]),
    encodeFrame({ type: "resume", count: 0, bytes: 8 }),
    encodeNumbers(9),
  ];
  for (const part of parts) ends.far.send(part);
  const reason = "the guest has made 9 steps, its memory says 0";
  await assertRejects(() => takeGuest(ends.near), WrongFormat, reason);
});

linuxTest("a guest that is no virtual machine has no virtual CPU", async () => {
  using ends = new Ends();
  const parts = [
    ...hello([gpa(0), 2 ** 20]),
    encodeFrame({ type: "resume", count: 0, bytes: 9 }),
    new Uint8Array(9),
  ];
  for (const part of parts) ends.far.send(part);
  const reason = "the state of the virtual CPU has 1 bytes, not 0";
  await assertRejects(() => takeGuest(ends.near), WrongFormat, reason);
});

kvmTest("a virtual machine continues with what KVM takes for its state only", async () => {
  const take = async (cpuState: Uint8Array) => {
    using ends = new Ends();
    const parts = [
      ...helloOf("kvm", [gpa(0), 2 ** 20], [gpa(2 ** 20), 2 ** 20], [gpa(2 ** 32), 2 ** 20]),
      encodeFrame({ type: "resume", count: 0, bytes: 8 + cpuState.length }),
      encodeNumbers(5),
      cpuState,
    ];
    for (const part of parts) ends.far.send(part);
    await takeGuest(ends.near);
  };
  const short = new Uint8Array(CPU_STATE - 1);
  await assertRejects(() => take(short), WrongFormat, "has 455 bytes, not 456");
  const impossible = new Uint8Array(CPU_STATE).fill(0xff);
  await assertRejects(() => take(impossible), SystemError, "KVM_SET_SREGS");
});
