/**
 * A check of memory that comes and goes.
 *
 * @module
 */
import { type Check, DISK_BYTES, ensureSame, inGuest, within } from "./check.ts";
import { FIO, VERIFY } from "./fio.ts";
import { BLOCK, writePattern } from "./images.ts";
import type { Vm } from "./vm.ts";

const PLUGGED_MIB = 128;
const HALF = DISK_BYTES / 2;
const SECONDS = 60;
/** Pages of the plugged memory that the device writes to. */
const LEAST_PAGES = 512;

/** Memory is plugged in and out while the guest writes, and the device reads into it. */
export const checkPlug: Check = async (host) => {
  host.ensureTools();
  const image = await host.newImage("plug", DISK_BYTES);
  writePattern(image, HALF / BLOCK);
  const machine = { pluggable: PLUGGED_MIB };
  const reads: string[] = [];
  const body = async (vm: Vm) => void reads.push(await plugInAndOut(vm));
  await inGuest(host, { image, machine }, body);
  if (host.device === "deno") {
    // Memory comes in a table of all regions then.
    await inGuest(host, { image, machine, device: { extra: ["--no-slots"] } }, body);
  }
  return `${PLUGGED_MIB} MiB in and out while fio wrote 32 MiB; blocks there: ${reads.join("; ")}`;
};

// Returns what became of the blocks that were read into the memory.
async function plugInAndOut(vm: Vm): Promise<string> {
  const before = await total(vm);
  const job =
    `${FIO} ${VERIFY} --filename=/dev/vda --bs=4k --iodepth=8 --offset=32m --size=32m --rate=4m`;
  await vm.check(`${job} > /tmp/fio.txt 2>&1 & job=$!`);
  await vm.qmp.execute("object-add", {
    "qom-type": "memory-backend-memfd",
    id: "more",
    size: PLUGGED_MIB * 2 ** 20,
    share: true,
  });
  await vm.qmp.execute("device_add", { driver: "pc-dimm", id: "dimm", memdev: "more" });
  await within(SECONDS, "the guest does not take the new memory", async () => {
    return await total(vm) >= before + PLUGGED_MIB * 1024;
  });
  const free = await freeOfMovable(vm);
  await vm.check(`dma /dev/vda ${HALF / BLOCK} /tmp/stop > /tmp/dma.txt 2>&1 & dma=$!`);
  // A program's memory is movable, so it comes from what was plugged in.
  await within(SECONDS, "the guest does not use the new memory", async () => {
    return free - await freeOfMovable(vm) >= LEAST_PAGES;
  });
  const reads = await vm.check(
    "touch /tmp/stop; wait $dma; code=$?; cat /tmp/dma.txt; (exit $code)",
  );
  const deleted = vm.qmp.event("DEVICE_DELETED", { device: "dimm" }, SECONDS);
  deleted.catch(() => {});
  await vm.qmp.execute("device_del", { id: "dimm" });
  await deleted;
  await vm.qmp.execute("object-del", { id: "more" });
  ensureSame(await total(vm), before, "KiB of memory in the guest after unplugging");
  await vm.check("kill -0 $job");
  await vm.check("wait $job || { tail -5 /tmp/fio.txt; false; }", SECONDS);
  return reads;
}

async function total(vm: Vm): Promise<number> {
  return Number(await vm.check("awk '/MemTotal/ { print $2 }' /proc/meminfo"));
}

async function freeOfMovable(vm: Vm): Promise<number> {
  const script = "/zone +Movable/ { there = 1 } there && /nr_free_pages/ { print $2; exit }";
  return Number(await vm.check(`awk '${script}' /proc/zoneinfo`));
}
