import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { WrongFormat } from "../../../examples/migrate/migrate_error.ts";
import { framesOf } from "../../../examples/migrate/source.ts";
import {
  decodeFrame,
  decodeHello,
  decodeNumbers,
  decodeRuns,
  encodeFrame,
  encodeHello,
  encodeNumbers,
  encodeRuns,
  type Frame,
  FRAME_LENGTH,
  type Hello,
  HELLO_LENGTH,
  MAX_BYTES,
  MAX_REGIONS,
  MAX_RUNS,
  RUN_LENGTH,
  VERSION,
} from "../../../examples/migrate/wire.ts";
import type { GuestRange } from "../../../mod.ts";
import { gpa } from "../../support/values.ts";

const PAGE = 4096;
const HELLO: Hello = { pageSize: PAGE, regions: 3, rate: 20_000, tracker: "kvm" };

// A hello with a number of 4 bytes changed.
function changed(offset: number, value: number): Uint8Array {
  const bytes = encodeHello(HELLO);
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(offset, value, true);
  return bytes;
}

function frameBytes(type: number, count: number, bytes: bigint): Uint8Array {
  const frame = new Uint8Array(FRAME_LENGTH);
  const view = new DataView(frame.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, count, true);
  view.setBigUint64(8, bytes, true);
  return frame;
}

function tableOf(...numbers: bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(numbers).buffer);
}

function assertWrong(decode: () => unknown, reason: string): void {
  assertThrows(decode, WrongFormat, reason);
}

Deno.test("a hello has the bytes that its version has", () => {
  const bytes = encodeHello(HELLO);
  assertEquals(bytes.length, HELLO_LENGTH);
  assertEquals(
    bytes.toHex(),
    "6d6772617465303101000000001000000300000" + "0204e00000200000000000000",
  );
  assertEquals(decodeHello(bytes, PAGE), HELLO);
});

Deno.test("a hello that is none, or of another kind, is refused", () => {
  assertWrong(() => decodeHello(new Uint8Array(HELLO_LENGTH), PAGE), "this is no migration");
  assertWrong(() => decodeHello(encodeHello(HELLO).subarray(1), PAGE), "this is no migration");
  assertWrong(() => decodeHello(changed(8, VERSION + 1), PAGE), "version 2, this side knows 1");
  assertWrong(() => decodeHello(encodeHello(HELLO), 65_536), "pages have 4096 bytes");
  assertWrong(() => decodeHello(changed(16, 0), PAGE), "regions: 0 is not from 1");
  assertWrong(() => decodeHello(changed(16, MAX_REGIONS + 1), PAGE), "regions: 65 is not");
  assertWrong(() => decodeHello(changed(20, 0), PAGE), "writes in a second: 0");
  assertWrong(() => decodeHello(changed(24, 3), PAGE), "kind of guest: 3");
  assertWrong(() => decodeHello(changed(28, 1), PAGE), "reserved number: 1 is not 0");
});

Deno.test("frames are what they were, where they are expected", () => {
  const frames: Frame[] = [
    { type: "pages", count: MAX_RUNS, bytes: MAX_BYTES },
    { type: "endOfRound", count: 7, bytes: 0 },
    { type: "resume", count: 0, bytes: 8 },
    { type: "compare", count: 0, bytes: 0 },
    { type: "ready", count: 0, bytes: 0 },
    { type: "resumed", count: 0, bytes: 0 },
    { type: "stopped", count: 0, bytes: 16 },
    { type: "sum", count: 0, bytes: 32 },
  ];
  for (const frame of frames) {
    assertEquals(decodeFrame(encodeFrame(frame), [frame.type]), frame);
    const others = frames.filter(({ type }) => type !== frame.type).map(({ type }) => type);
    assertWrong(() => decodeFrame(encodeFrame(frame), others), `${frame.type} came where`);
  }
});

Deno.test("a frame with an impossible number is refused", () => {
  const decode = (...numbers: [number, number, bigint]) => () =>
    decodeFrame(frameBytes(...numbers), ["pages", "endOfRound", "resume", "sum"]);
  assertWrong(decode(99, 0, 0n), "frame type 99 came where pages or");
  assertWrong(decode(0, 0, 4096n), "runs: 0 is not from 1 to 1020");
  assertWrong(decode(0, MAX_RUNS + 1, 4096n), "runs: 1021");
  assertWrong(decode(0, 1, 0n), "bytes of pages: 0");
  assertWrong(decode(0, 1, BigInt(MAX_BYTES) + 1n), "bytes of pages");
  assertWrong(decode(0, 1, 2n ** 64n - 1n), "bytes of pages: 18446744073709551615");
  assertWrong(decode(1, 0, 1n), "after the end of a round: 1 is not 0");
  assertWrong(decode(2, 0, 7n), "bytes of resume: 7 is not from 8 to 4096");
  assertWrong(decode(2, 1, 8n), "count of resume: 1 is not 0");
  assertWrong(decode(7, 0, 31n), "bytes of sum: 31 is not 32");
});

Deno.test("runs that are no pages, overlap, or end beyond 2^53 are refused", () => {
  const decode = (...numbers: bigint[]) => () => decodeRuns(tableOf(...numbers), PAGE);
  assertWrong(decode(1n, 4096n), "run 0 is [0x1, 4096 bytes]: not whole pages");
  assertWrong(decode(0n, 4095n), "not whole pages");
  assertWrong(decode(0n, 0n), "not whole pages");
  assertWrong(decode(0n, 8192n, 4096n, 4096n), "run 1 is [0x1000, 4096 bytes]");
  assertWrong(decode(8192n, 4096n, 0n, 4096n), "run 1 is");
  assertWrong(decode(2n ** 53n - 4096n, 4096n), "run 0 is");
  assertWrong(decode(2n ** 64n - 4096n, 8192n), "run 0 is");
  assertWrong(decode(0n, 2n ** 64n - 4096n), "run 0 is");
  assertEquals(decode(0n, 4096n, 4096n, 8192n)(), [[gpa(0), 4096], [gpa(4096), 8192]]);
});

Deno.test("numbers of more than 2^52 are refused", () => {
  const numbers = [0, 1, 2 ** 52];
  assertEquals(decodeNumbers(encodeNumbers(...numbers)), numbers);
  assertWrong(() => decodeNumbers(tableOf(2n ** 52n + 1n)), "a number: 4503599627370497");
});

Deno.test("no bytes give anything but a value or WrongFormat", () => {
  const check = (decode: () => unknown) => {
    try {
      decode();
    } catch (error) {
      assert(error instanceof WrongFormat, `${error}`);
    }
  };
  const numbers = fc.array(fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(0n, 99n)));
  fc.assert(fc.property(
    fc.uint8Array({ minLength: HELLO_LENGTH, maxLength: HELLO_LENGTH }),
    fc.nat(HELLO_LENGTH),
    numbers,
    (bytes, kept, numbers) => {
      // Some of the true bytes first: so it comes further.
      bytes.set(encodeHello(HELLO).subarray(0, kept));
      check(() => decodeHello(bytes, PAGE));
      bytes[0] = bytes[0]! % 10;
      bytes.fill(0, 1, kept % 16);
      check(() => decodeFrame(bytes.subarray(0, FRAME_LENGTH), ["pages", "resume", "sum"]));
      check(() => decodeRuns(tableOf(...numbers, ...numbers), PAGE));
      check(() => decodeNumbers(tableOf(...numbers)));
    },
  ));
});

Deno.test("framesOf() sends each byte of the runs once, in frames that decode", () => {
  const run = fc.record({ gap: fc.integer({ min: 1, max: 9 }), pages: fc.nat(3000) });
  fc.assert(
    fc.property(fc.array(run, { maxLength: 2500, size: "max" }), (parts) => {
      const runs: GuestRange[] = [];
      let at = 0;
      for (const { gap, pages } of parts) {
        at += gap * PAGE;
        // Most runs are of one page.
        const length = (pages > 2900 ? pages : 1) * PAGE;
        runs.push([gpa(at), length]);
        at += length;
      }
      const table = new Uint8Array(MAX_RUNS * RUN_LENGTH);
      const sent: GuestRange[] = [];
      for (const { ranges, bytes } of framesOf(runs)) {
        const head = encodeFrame({ type: "pages", count: ranges.length, bytes });
        assertEquals(decodeFrame(head, ["pages"]).bytes, bytes);
        const decoded = decodeRuns(encodeRuns(ranges, table), PAGE);
        assertEquals(decoded.reduce((sum, [, length]) => sum + length, 0), bytes);
        sent.push(...decoded);
      }
      assertEquals(joined(sent), runs);
    }),
    { numRuns: 30 },
  );
});

// Runs that are adjacent are one: no two of those that were to be sent are.
function joined(runs: readonly GuestRange[]): GuestRange[] {
  const all: [GuestRange[0], number][] = [];
  for (const [start, length] of runs) {
    const last = all.at(-1);
    if (last !== undefined && last[0] + last[1] === start) last[1] += length;
    else all.push([start, length]);
  }
  return all;
}
