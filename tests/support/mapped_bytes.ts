/**
 * How many bytes of addresses the library takes and gives back. What the kernel shows is no measure:
 * V8 maps memory too, at any time.
 *
 * @module
 */
import { libc } from "../../ffi/libc.ts";

/** Counts while a function runs: bytes mapped without `MAP_FIXED`, less the bytes unmapped. */
export function countMappedBytes<T>(use: (bytes: () => number) => T): T {
  const { core, platform: { map: { fixed } } } = libc();
  const calls = core as {
    mmap: (...args: [bigint, bigint, number, number, number, bigint]) => bigint;
    munmap: (address: bigint, length: bigint) => number;
  };
  const { mmap, munmap } = calls;
  let sum = 0;
  calls.mmap = (...args) => {
    const address = mmap(...args);
    const isNew = address < 2n ** 63n && (args[3] & fixed) === 0;
    if (isNew) sum += Number(args[1]);
    return address;
  };
  calls.munmap = (address, length) => {
    const result = munmap(address, length);
    if (result === 0) sum -= Number(length);
    return result;
  };
  try {
    return use(() => sum);
  } finally {
    Object.assign(calls, { mmap, munmap });
  }
}
