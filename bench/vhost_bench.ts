/**
 * The vhost-user disk beside QEMU's own storage daemon: all disks are in one guest, and fio loads one
 * after the other.
 */
import { type Measurement, nameOf } from "../examples/guest/bench.ts";
import { called, drawChart, isWanted, print } from "./measure.ts";
import { output } from "./start/native.ts";
import { makeRow, type Row } from "../src/bench/row.ts";

const RIVALS = { threads: "daemon, threads", io_uring: "daemon, io_uring" } as const;

const program = new URL("../examples/guest.ts", import.meta.url).href;
const args = ["--bench", "--json", "--yes", "--rounds", `${called.rounds}`];
const text = await output(Deno.execPath(), ["run", "--quiet", "--allow-all", program, ...args]);
const measurements = JSON.parse(text) as Measurement[];
const aims = new Map<string, number>();

table("Disks in a guest: a request", "", ({ iops }) => 1e9 / iops, ({ block, isDirect }) => {
  // 0.9 of the rival's requests a second for large ones and past the page cache, else as many.
  return block === "1m" || isDirect ? 1 / 0.9 : 1;
});
table("The device's processor time for it", ", CPU", ({ cpu }) => 1000 * cpu, () => 1);
await drawChart("vhost", "A disk served by Deno beside QEMU's storage daemon", aims);

function table(
  title: string,
  suffix: string,
  nanoseconds: (measurement: Measurement) => number,
  aim: (job: { readonly block: string; readonly isDirect: boolean }) => number,
): void {
  const rows: Row[] = [];
  const jobs = Map.groupBy(measurements, ({ job, storage }) => {
    return `${nameOf(job)}${storage === "disk" ? ", O_DIRECT" : ""}${suffix}`;
  });
  for (const [name, group] of jobs) {
    if (!isWanted(title, name)) continue;
    const of = (device: string) => {
      const own = group.filter((measurement) => measurement.device === device);
      return own.sort((a, b) => a.round - b.round).map(nanoseconds);
    };
    for (const [device, rival] of Object.entries(RIVALS)) {
      rows.push(makeRow({ name, times: of("deno") }, { name: rival, times: of(device) }));
    }
    const [{ job, storage }] = group as [Measurement];
    aims.set(name, aim({ block: job.block, isDirect: storage === "disk" }));
  }
  print(title, rows);
}
