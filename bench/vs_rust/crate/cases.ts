/**
 * The 62 cases of vm-memory's own benchmark suite (its `benches/`, version 0.18), on this library.
 *
 * @module
 */
import { openSync } from "node:fs";
import {
  array,
  Cursor,
  Fd,
  GuestAddress,
  GuestMemoryMmap,
  struct,
  u32,
  u64,
  VolatileSlice,
} from "@vmm/guest-memory";
import { consume, keep } from "../../../src/bench/sink.ts";
import { alignedBytes } from "../../workload.ts";
import type { Case } from "../../../src/bench/harness.ts";

const REGION_SIZE = 0x8000_0000;
const REGIONS = 8;
const ACCESS_SIZE = 0x200;

const SmallDummy = struct({ a: u32, b: u32 });
const BigDummy = struct({ elements: array(u64, 12) });

/** What names the yardsticks begin with; the name of the case follows. */
export const BARE_SET = "set::";

/**
 * All 62, and beside each that only copies, for a yardstick, the same bytes by a bare
 * `TypedArray.prototype.set`.
 */
export function crateCases(): Case[] {
  return [...guestMemory(), findRegion(), ...volatileSlice()];
}

function findRegion(): Case {
  const regionSize = 0x10_0000;
  const memory = GuestMemoryMmap.fromRanges(
    Array.from({ length: 256 }, (_, i) => [GuestAddress(i * regionSize), regionSize] as const),
  );
  return {
    name: "find_region",
    run(iterations) {
      for (let i = 0; i < iterations; i++) {
        let found = 0;
        for (let region = 0; region < 256; region++) {
          found += memory.findRegion(region * regionSize as GuestAddress)!.len;
        }
        consume(found);
      }
    },
  };
}

// Where an access takes place: in a region, or half on each side of the end of one.
interface Place {
  at(size: number): GuestAddress;
}

const inRegion = (region: number): Place => ({ at: () => GuestAddress(region * REGION_SIZE) });
const crossRegion = (region: number): Place => ({
  at: (size) => GuestAddress((region + 1) * REGION_SIZE - size / 2),
});
const PLACES: readonly Place[] = [inRegion(0), crossRegion(0), crossRegion(6), inRegion(7)];

function* guestMemory(): Generator<Case> {
  const memory = GuestMemoryMmap.fromRanges(
    Array.from(
      { length: REGIONS },
      (_, i) => [GuestAddress(i * REGION_SIZE), REGION_SIZE] as const,
    ),
  );
  const image = new Uint8Array(ACCESS_SIZE).fill(1);
  const sink = new Uint8Array(ACCESS_SIZE);
  const buf = new Uint8Array(ACCESS_SIZE);
  const zeroFd = openSync("/dev/zero", "r");
  const nullFd = openSync("/dev/null", "w");

  const zero = new Fd(zeroFd);
  const nowhere = new Fd(nullFd);
  const small = { a: 1, b: 2 };
  const big = { elements: Array.from({ length: 12 }, (_, i) => BigInt(i)) };

  for (const place of PLACES) {
    const access = [place.at(ACCESS_SIZE), place.at(ACCESS_SIZE)] as const;
    const smallAt = [place.at(8), place.at(8)] as const;
    const bigAt = [place.at(96), place.at(96)] as const;
    const name = (operation: string, [at]: readonly [GuestAddress, GuestAddress]) =>
      `${operation}_0x${at.toString(16).toUpperCase()}`;

    yield {
      name: name("read_from", access),
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          consume(memory.readVolatileFrom(access[i & 1]!, new Cursor(image), ACCESS_SIZE));
        }
      },
    };
    yield {
      name: name("read_from_file", access),
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          consume(memory.readVolatileFrom(access[i & 1]!, zero, ACCESS_SIZE));
        }
      },
    };
    yield {
      name: name("read_exact_from", access),
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          const source = new Cursor(image);
          memory.readExactVolatileFrom(access[i & 1]!, source, ACCESS_SIZE);
          consume(source.position);
        }
      },
    };
    yield {
      name: name("read_entire_slice_from", access),
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          memory.readSlice(buf, access[i & 1]!);
          consume(buf[i & 0xff]!);
        }
      },
    };
    yield {
      name: name("read_slice_from", access),
      run(iterations) {
        for (let i = 0; i < iterations; i++) consume(memory.read(buf, access[i & 1]!));
      },
    };
    yield {
      name: name("read_small_obj_from", smallAt),
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          const { a, b } = memory.readObj(SmallDummy, smallAt[i & 1]!);
          consume(a ^ b);
        }
      },
    };
    yield {
      name: name("read_big_obj_from", bigAt),
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          keep(memory.readObj(BigDummy, bigAt[i & 1]!));
        }
      },
    };
    yield {
      name: name("write_to", access),
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          consume(memory.writeVolatileTo(access[i & 1]!, new Cursor(sink), ACCESS_SIZE));
        }
      },
    };
    yield {
      name: name("write_to_file", access),
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          consume(memory.writeVolatileTo(access[i & 1]!, nowhere, ACCESS_SIZE));
        }
      },
    };
    yield {
      name: name("write_exact_to", access),
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          const target = new Cursor(sink);
          memory.writeAllVolatileTo(access[i & 1]!, target, ACCESS_SIZE);
          consume(target.position);
        }
      },
    };
    yield {
      name: name("write_entire_slice_to", access),
      run(iterations) {
        for (let i = 0; i < iterations; i++) memory.writeSlice(buf, access[i & 1]!);
      },
    };
    yield {
      name: name("write_slice_to", access),
      run(iterations) {
        for (let i = 0; i < iterations; i++) consume(memory.write(buf, access[i & 1]!));
      },
    };
    yield {
      name: name("write_small_obj_to", smallAt),
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          small.a = i;
          memory.writeObj(SmallDummy, small, smallAt[i & 1]!);
        }
      },
    };
    yield {
      name: name("write_big_obj_to", bigAt),
      run(iterations) {
        for (let i = 0; i < iterations; i++) memory.writeObj(BigDummy, big, bigAt[i & 1]!);
      },
    };
  }
}

function* volatileSlice(): Generator<Case> {
  const bytes = alignedBytes(1024);
  const whole = VolatileSlice.from(bytes);
  // Half of the bytes, under twice the elements they hold: only 256 elements move.
  const half = whole.subslice(0, 512);
  const halfWords = new Uint16Array(bytes.buffer, bytes.byteOffset, 256);
  const u8s = alignedBytes(1024);
  const u16s = new Uint16Array(u8s.buffer, u8s.byteOffset, 512);
  const movedWords = u16s.subarray(0, 256);
  const sourceBytes = alignedBytes(10_240);
  const targetBytes = alignedBytes(10_240);
  const source = VolatileSlice.from(sourceBytes);
  const target = VolatileSlice.from(targetBytes);
  yield {
    name: "VolatileSlice::copy_to_u8",
    run(iterations) {
      for (let i = 0; i < iterations; i++) consume(whole.copyTo(u8s));
    },
  };
  yield bareSet("copy_to_u8", u8s, bytes);
  yield {
    name: "VolatileSlice::copy_to_u16",
    run(iterations) {
      for (let i = 0; i < iterations; i++) consume(half.copyTo(u16s));
    },
  };
  yield bareSet("copy_to_u16", movedWords, halfWords);
  yield {
    name: "VolatileSlice::copy_to_volatile_slice",
    run(iterations) {
      for (let i = 0; i < iterations; i++) source.copyToVolatileSlice(target);
    },
  };
  yield bareSet("copy_to_volatile_slice", targetBytes, sourceBytes);
  yield {
    name: "VolatileSlice::copy_from_u8",
    run(iterations) {
      for (let i = 0; i < iterations; i++) consume(whole.copyFrom(u8s));
    },
  };
  yield bareSet("copy_from_u8", bytes, u8s);
  yield {
    name: "VolatileSlice::copy_from_u16",
    run(iterations) {
      for (let i = 0; i < iterations; i++) consume(half.copyFrom(u16s));
    },
  };
  yield bareSet("copy_from_u16", halfWords, movedWords);
}

// Both arrays are there already, and of one type: what is measured is set and nothing else.
function bareSet<T extends Uint8Array | Uint16Array>(operation: string, to: T, from: T): Case {
  return {
    name: BARE_SET + operation,
    run(iterations) {
      for (let i = 0; i < iterations; i++) to.set(from);
    },
  };
}
