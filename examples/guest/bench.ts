/**
 * The three devices side by side: their disks are in one guest, and fio loads one after the other.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { grouped } from "../lib/units.ts";
import { type BlockDevice, DEVICE_KINDS, type DeviceKind } from "./block_device.ts";
import { DISK_BYTES } from "./check.ts";
import { fioCommand, fioResultOf, type Job } from "./fio.ts";
import { GuestError } from "./guest_error.ts";
import type { Host } from "./host.ts";
import { writeRandom } from "./images.ts";
import type { Vm } from "./vm.ts";

/** Where images are. */
export type Storage = "memory" | "disk";

/** What was measured of a job on a device, in one round. */
export interface Measurement {
  readonly job: Job;
  readonly storage: Storage;
  readonly device: DeviceKind;
  readonly round: number;
  /** Requests in a second. */
  readonly iops: number;
  /** Microseconds of processor time of the device for each request. */
  readonly cpu: number;
}

const IN_MEMORY: readonly Job[] = [
  { mode: "randread", block: "4k", depth: 1 },
  { mode: "randread", block: "4k", depth: 32 },
  { mode: "randwrite", block: "4k", depth: 1 },
  { mode: "randwrite", block: "4k", depth: 32 },
  { mode: "read", block: "1m", depth: 4 },
  { mode: "write", block: "1m", depth: 4 },
];
const ON_DISK: readonly Job[] = [
  { mode: "randread", block: "4k", depth: 32 },
  { mode: "randwrite", block: "4k", depth: 32 },
];
/** The page cache is out of the way on a file system that is not in memory itself. */
const FOLDERS: Readonly<Record<Storage, string>> = {
  memory: "/dev/shm",
  disk: fileURLToPath(new URL("../../target/guest", import.meta.url)),
};
const SECONDS = 2;
const DISKS = ["/dev/vda", "/dev/vdb", "/dev/vdc"];

/**
 * Measures.
 *
 * @param host What makes machines and devices.
 * @param storage Where images are: in memory, or on the disk, past the host's page cache.
 * @param rounds How often.
 * @param onJob Is called before each job.
 * @throws {GuestError} A device or fio fails.
 */
export async function bench(
  host: Host,
  storage: Storage,
  rounds: number,
  onJob: (text: string, done: number, total: number) => void,
): Promise<Measurement[]> {
  const folder = await Deno.makeTempDir({ dir: FOLDERS[storage], prefix: "guest-bench-" });
  try {
    await using devices = new AsyncDisposableStack();
    const served = [];
    for (const kind of DEVICE_KINDS) {
      const image = `${folder}/${kind}`;
      await Deno.writeFile(image, new Uint8Array());
      writeRandom(image, DISK_BYTES);
      const direct = storage === "disk";
      served.push(devices.use(await host.serve({ kind, image, direct })));
    }
    await using vm = await host.start({ disks: served.map(({ socket }) => ({ socket })) });
    await vm.ready();
    return await measure(vm, served, storage, rounds, onJob);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function measure(
  vm: Vm,
  devices: readonly BlockDevice[],
  storage: Storage,
  rounds: number,
  onJob: (text: string, done: number, total: number) => void,
): Promise<Measurement[]> {
  const jobs = storage === "memory" ? IN_MEMORY : ON_DISK;
  const measurements: Measurement[] = [];
  const total = rounds * jobs.length * devices.length;
  for (let round = 0; round < rounds; round++) {
    for (const job of jobs) {
      // Nobody is always the first.
      for (const index of devices.keys().map((index) => (index + round) % devices.length)) {
        const device = DEVICE_KINDS[index]!;
        onJob(`${nameOf(job)}, ${device}`, measurements.length, total);
        const before = await devices[index]!.processorTime();
        const text = await vm.check(fioCommand(job, DISKS[index]!, SECONDS));
        const { requests, iops } = fioResultOf(text, job);
        const cpu = (await devices[index]!.processorTime() - before) / requests;
        measurements.push({ job, storage, device, round, iops, cpu });
      }
    }
  }
  return measurements;
}

/** A job in a few words, such as `randread 4k, 32`. */
export function nameOf({ mode, block, depth }: Job): string {
  return `${mode} ${block}, ${depth}`;
}

/**
 * The table of measurements.
 *
 * @param measurements All rounds of some jobs.
 * @returns Its lines: of each job the median of the rounds, and of the ratios in each round.
 * @throws {GuestError} A device was not measured in a round.
 */
export function formatMeasurements(measurements: readonly Measurement[]): string[] {
  const groups = Map.groupBy(
    measurements,
    ({ job, storage }) => `${nameOf(job)}${storage === "disk" ? ", O_DIRECT" : ""}`,
  );
  const lines = Array.from(groups, ([name, group]) => rowOf(name, group));
  return [
    row(["job", "Deno IOPS", "/ threads", "/ io_uring", "CPU µs: Deno", "threads", "io_uring"]),
  ]
    .concat(lines);
}

function rowOf(name: string, group: readonly Measurement[]): string {
  const of = (device: DeviceKind) =>
    group.filter((one) => one.device === device).toSorted((a, b) => a.round - b.round);
  const deno = of("deno");
  const ratio = (device: DeviceKind) => {
    const others = of(device);
    if (others.length !== deno.length) throw new GuestError(`${name}: a round is missing`);
    return median(deno.map(({ iops }, index) => iops / others[index]!.iops)).toFixed(2);
  };
  const cpu = (device: DeviceKind) => median(of(device).map(({ cpu }) => cpu)).toFixed(1);
  return row([
    name,
    grouped(Math.round(median(deno.map(({ iops }) => iops)))),
    ...(["threads", "io_uring"] as const).map(ratio),
    ...DEVICE_KINDS.map(cpu),
  ]);
}

function row([name, ...cells]: readonly string[]): string {
  return `${name!.padEnd(26)}${cells.map((cell) => cell.padStart(15)).join("")}`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
