import { assertEquals, assertThrows } from "@std/assert";
import { formatMeasurements, type Measurement } from "../../../examples/guest/bench.ts";
import type { DeviceKind } from "../../../examples/guest/block_device.ts";
import { fioCommand, fioResultOf, type Job } from "../../../examples/guest/fio.ts";
import { GuestError } from "../../../examples/guest/guest_error.ts";
import { patternBlock } from "../../../examples/guest/images.ts";

const READ: Job = { mode: "randread", block: "4k", depth: 32 };
const WRITE: Job = { mode: "write", block: "1m", depth: 4 };

/** What fio prints: five fields, 41 of reads, and 41 of writes. */
const fioText = (error: number, reads: number[], writes: number[]) => {
  const fields = (values: number[]) => Array.from({ length: 41 }, (_, index) => values[index] ?? 0);
  return `note\n3;fio-3.33;job;0;${error};${[...fields(reads), ...fields(writes)].join(";")}\n`;
};

Deno.test("fioResultOf() reads the IOPS of the job's direction", () => {
  const text = fioText(0, [8000, 4000, 1000, 2000], [80, 40, 10, 1500]);
  assertEquals(fioResultOf(text, READ), { requests: 2000, iops: 1000 });
  assertEquals(fioResultOf(text, WRITE), { requests: 15, iops: 10 });
  for (const bad of ["", "fio: error\n", fioText(5, [1, 1, 1, 1], []), fioText(0, [], [])]) {
    assertThrows(() => fioResultOf(bad, READ), GuestError, "fio failed in the guest");
  }
});

Deno.test("fioCommand() names the disk, the job and its time", () => {
  const command = fioCommand(READ, "/dev/vdb", 2);
  for (const part of ["/dev/vdb", "--rw=randread", "--bs=4k", "--iodepth=32", "--runtime=2"]) {
    assertEquals(command.includes(part), true, part);
  }
});

const measured = (device: DeviceKind, round: number, iops: number, cpu: number): Measurement => ({
  job: READ,
  storage: "memory",
  device,
  round,
  iops,
  cpu,
});

Deno.test("formatMeasurements() shows the median of the ratios of rounds", () => {
  const rounds: Measurement[] = [
    ...[100, 400, 900].map((iops, round) => measured("deno", round, iops, 3)),
    // In another order: rounds are compared with their own.
    ...[1, 2, 0].map((round) => measured("threads", round, [100, 200, 100][round]!, 16)),
    ...[0, 1, 2].map((round) => measured("io_uring", round, 800, 7.25)),
  ];
  const [head, line, ...more] = formatMeasurements(rounds);
  assertEquals(more, []);
  assertEquals(head!.trim().split(/ {2,}/).slice(0, 4), [
    "job",
    "Deno IOPS",
    "/ threads",
    "/ io_uring",
  ]);
  // 100/100, 400/200, 900/100; 100/800, 400/800, 900/800.
  assertEquals(line!.split(/ {2,}/), [
    "randread 4k, 32",
    "400",
    "2.00",
    "0.50",
    "3.0",
    "16.0",
    "7.3",
  ]);
  assertThrows(() => formatMeasurements(rounds.slice(0, -1)), GuestError, "a round is missing");
});

Deno.test("patternBlock() differs from block to block, in the way that dma.c expects", () => {
  assertEquals([...patternBlock(0).subarray(0, 3)], [0, 1, 2]);
  assertEquals(patternBlock(1)[0], 0x9e3779b1);
  assertEquals(patternBlock(2)[1], (2 * 0x9e3779b1 + 1) % 2 ** 32);
});
