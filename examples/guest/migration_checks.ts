/**
 * Checks of the dirty log: a guest moves to another QEMU while the device writes to its memory.
 *
 * @module
 */
import type { BlockDevice } from "./block_device.ts";
import { type Check, DISK_BYTES, ensureEnded, ensureNoErrors, sleep } from "./check.ts";
import { FIO, VERIFY } from "./fio.ts";
import { GuestError, Skipped } from "./guest_error.ts";
import type { Host } from "./host.ts";
import { BLOCK, writePattern } from "./images.ts";
import type { Vm } from "./vm.ts";

const MOVES = 5;
const MOVES_WITHOUT_LOG = 2;
const BLOCKS = DISK_BYTES / 2 / BLOCK;
/** So slow that the device writes to many pages that have been sent. */
const BYTES_PER_SECOND = 64 * 2 ** 20;
const SECONDS = 60;

/** A guest and its device. */
interface Place extends AsyncDisposable {
  readonly vm: Vm;
  readonly device: BlockDevice;
}

/** Nothing is lost on the way. */
export const checkMigrate: Check = async (host) => {
  const { wrong, downtimes } = await moves(host, MOVES, []);
  const bad = wrong.filter((count) => count > 0);
  if (bad.length > 0) {
    throw new GuestError(`${bad.length} of ${MOVES} moves lost blocks: ${bad.join(", ")}`);
  }
  return `${MOVES} of ${MOVES} moves right, paused for ${downtimes.join(", ")} ms`;
};

/** The check before notices a device that marks nothing in the log. */
export const checkControl: Check = async (host) => {
  if (host.device !== "deno") throw new Skipped("QEMU's own device cannot be made wrong");
  const { wrong } = await moves(host, MOVES_WITHOUT_LOG, ["--break-log"]);
  if (wrong.some((count) => count === 0)) {
    throw new GuestError(`a device that marks nothing was not noticed: ${wrong.join(", ")} wrong`);
  }
  return `without marks in the log, ${wrong.join(" and ")} wrong blocks`;
};

async function moves(
  host: Host,
  count: number,
  extra: readonly string[],
): Promise<{ wrong: number[]; downtimes: number[] }> {
  host.ensureTools();
  const image = await host.newImage("migrate", DISK_BYTES);
  writePattern(image, BLOCKS);
  const wrong: number[] = [];
  const downtimes: number[] = [];
  let place = await placeIn(host, image, extra);
  try {
    await place.vm.ready();
    const job =
      `${FIO} ${VERIFY} --filename=/dev/vda --bs=4k --iodepth=4 --offset=32m --size=32m --rate=2m`;
    await place.vm.check(`${job} > /tmp/fio.txt 2>&1 & job=$!`);
    for (let move = 0; move < count; move++) {
      await place.vm.check(
        `rm -f /tmp/stop; dma /dev/vda ${BLOCKS} /tmp/stop > /tmp/dma.txt 2>&1 & dma=$!`,
      );
      await sleep(1000);
      const incoming = host.newSocket();
      const next = await placeIn(host, image, extra, incoming);
      try {
        downtimes.push(await migrate(place.vm, next.vm, incoming));
      } catch (error) {
        await next[Symbol.asyncDispose]();
        throw error;
      }
      await place[Symbol.asyncDispose]();
      await ensureEnded(place.device, host);
      place = next;
      await place.vm.run("touch /tmp/stop; wait $dma");
      const text = await place.vm.check("cat /tmp/dma.txt");
      const found = /^\d+ read, (\d+) wrong$/.exec(text)?.[1];
      if (found === undefined) throw new GuestError(`in the guest, dma failed: ${text}`);
      wrong.push(Number(found));
    }
    // A device that marks nothing spoils fio's memory too.
    if (extra.length === 0) {
      await place.vm.check("wait $job || { tail -5 /tmp/fio.txt; false; }", SECONDS);
      await ensureNoErrors(place.vm);
    }
    return { wrong, downtimes };
  } finally {
    await place[Symbol.asyncDispose]();
  }
}

async function placeIn(
  host: Host,
  image: string,
  extra: readonly string[],
  incoming?: string,
): Promise<Place> {
  const device = await host.serve({ image, extra, shared: true });
  try {
    const disks = [{ socket: device.socket }];
    const vm = await host.start({ disks, ...(incoming !== undefined && { incoming }) });
    return {
      vm,
      device,
      async [Symbol.asyncDispose]() {
        await vm[Symbol.asyncDispose]();
        if (host.device === "deno") await device.ended();
        await device[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await device[Symbol.asyncDispose]();
    throw error;
  }
}

// Returns the milliseconds for which the guest was paused.
async function migrate(from: Vm, to: Vm, socket: string): Promise<number> {
  await from.qmp.execute("migrate-set-parameters", { "max-bandwidth": BYTES_PER_SECOND });
  const resumed = to.qmp.event("RESUME", {}, SECONDS);
  resumed.catch(() => {});
  await from.qmp.execute("migrate", { uri: `unix:${socket}` });
  const end = performance.now() + SECONDS * 1000;
  for (;;) {
    const state = await from.qmp.execute("query-migrate") as MigrationState;
    if (state.status === "completed") {
      await resumed;
      return state.downtime ?? NaN;
    }
    if (state.status === "failed" || performance.now() > end) {
      throw new GuestError(
        `the migration is ${state.status}: ${state["error-desc"] ?? "no reason"}`,
      );
    }
    await sleep(50);
  }
}

interface MigrationState {
  readonly status?: string;
  readonly downtime?: number;
  readonly "error-desc"?: string;
}
