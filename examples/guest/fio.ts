/**
 * Jobs of fio in the guest, and what fio says of them.
 *
 * @module
 */
import { GuestError } from "./guest_error.ts";

/** A kind of load on a disk. */
export interface Job {
  readonly mode: "randread" | "randwrite" | "read" | "write";
  /** Such as `4k`. */
  readonly block: string;
  /** Requests that are under way. */
  readonly depth: number;
}

/** What fio measured. */
export interface JobResult {
  /** Requests that were completed. */
  readonly requests: number;
  /** Requests in a second. */
  readonly iops: number;
}

/** fio, past the guest's page cache. */
export const FIO = "fio --terse-version=3 --minimal --ioengine=io_uring --direct=1 --name=job";
/** Writes in random order, with a checksum in each block, and reads all of it again. */
export const VERIFY =
  "--rw=randwrite --verify=crc32c --do_verify=1 --verify_fatal=1 --verify_dump=0";

// fio: HOWTO, "Terse output": version, fio's version, job, group, error, and then of reads, and in
// the same order of writes: KiB, KiB/s, IOPS, ms.
const HEAD = 5;
const OF_DIRECTION = 41;
const FIELDS = { ms: 3, iops: 2 };

/**
 * The command that runs a job.
 *
 * @param job The job.
 * @param disk Such as `/dev/vda`.
 * @param seconds How long it runs.
 */
export function fioCommand({ mode, block, depth }: Job, disk: string, seconds: number): string {
  return `${FIO} --filename=${disk} --rw=${mode} --bs=${block} --iodepth=${depth} ` +
    `--time_based --runtime=${seconds}`;
}

/**
 * What fio measured.
 *
 * @param text What it printed.
 * @param job The job.
 * @throws {GuestError} It failed.
 */
export function fioResultOf(text: string, { mode }: Job): JobResult {
  const line = text.split("\n").find((line) => /^3;fio-/.test(line));
  const fields = line?.split(";") ?? [];
  const start = HEAD + (mode.endsWith("write") ? OF_DIRECTION : 0);
  const iops = Number(fields[start + FIELDS.iops]);
  const seconds = Number(fields[start + FIELDS.ms]) / 1000;
  if (fields[HEAD - 1] !== "0" || !(iops > 0)) {
    throw new GuestError(`fio failed in the guest: ${text.trim().slice(-200)}`);
  }
  return { requests: iops * seconds, iops };
}
