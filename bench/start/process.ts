/**
 * One process of `bench/start_bench.ts`: does what its first argument says, and prints nanoseconds as
 * JSON.
 *
 *     process.ts first                  imports the module, and maps 1 GiB twice
 *     process.ts floor                  makes the calls of a first mapping without this library
 *     process.ts prefault BYTES         takes all pages
 *     process.ts discard BYTES ROUNDS   discards here and by the bare call, in turns: the best
 *
 * @module
 */
const begin = performance.now();
const { GuestAddress, GuestMemoryMmap, pageSize } = await import("@vmm/guest-memory");
const imported = 1e6 * (performance.now() - begin);

const GIB = 2 ** 30;

const [what, ...numbers] = Deno.args;
console.log(JSON.stringify(await measured(...numbers.map(Number))));

function measured(
  size = 0,
  rounds = 0,
): Promise<Record<string, number>> | Record<string, number> {
  switch (what) {
    case "first":
      return first();
    case "floor":
      return floor();
    case "prefault":
      return prefault(size);
    case "discard":
      return discard(size, rounds);
    default:
      throw new TypeError(`Cannot measure ${what}: it is not known`);
  }
}

function first(): Record<string, number> {
  const opened = timeOf(pageSize);
  const mapped = timeOf(() => map(GIB));
  return { imported, opened, first: opened + mapped, second: timeOf(() => map(GIB)) };
}

// What the first mapping cannot do without: the library, the call, and a view.
function floor(): Record<string, number> {
  const functions = {
    mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
    munmap: { parameters: ["usize", "usize"], result: "i32" },
    sysconf: { parameters: ["i32"], result: "i64" },
    __errno_location: { parameters: [], result: "pointer" },
  } as const;
  let symbols!: Deno.StaticForeignLibraryInterface<typeof functions>;
  const opened = timeOf(() => symbols = Deno.dlopen("libc.so.6", functions).symbols);
  const bareMap = () => {
    const address = symbols.mmap(0n, BigInt(GIB), 3, 0x4022, -1, 0n);
    const pointer = Deno.UnsafePointer.create(address)!;
    const buffer = Deno.UnsafePointerView.getArrayBuffer(pointer, GIB);
    return [Uint8Array, Uint16Array, Uint32Array, BigUint64Array, Float64Array]
      .map((View) => new View(buffer));
  };
  const mapped = timeOf(bareMap);
  return { opened, first: opened + mapped, second: timeOf(bareMap) };
}

async function prefault(size: number): Promise<Record<string, number>> {
  using memory = map(size);
  const begin = performance.now();
  await memory.prefault();
  return { prefault: 1e6 * (performance.now() - begin) };
}

function discard(size: number, rounds: number): Record<string, number> {
  using memory = map(size);
  const { symbols } = Deno.dlopen("libc.so.6", {
    madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
  });
  const address = memory.getHostAddress(GuestAddress(0));
  const MADV_DONTNEED = 4;
  let [here, bare] = [Infinity, Infinity];
  for (let i = 0; i < rounds; i++) {
    memory.fill(GuestAddress(0), size, 1);
    here = Math.min(here, timeOf(() => memory.discard(GuestAddress(0), size)));
    memory.fill(GuestAddress(0), size, 1);
    bare = Math.min(bare, timeOf(() => symbols.madvise(address, BigInt(size), MADV_DONTNEED)));
  }
  return { here, bare };
}

function map(size: number) {
  return GuestMemoryMmap.fromRanges([[GuestAddress(0), size]]);
}

function timeOf(call: () => unknown): number {
  const begin = performance.now();
  call();
  return 1e6 * (performance.now() - begin);
}
