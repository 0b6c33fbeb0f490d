/** One process of `bench/management.ts`: prints nanoseconds as JSON. */
const begin = performance.now();
const { GuestAddress, GuestMemoryMmap, pageSize } = await import("@vmm/guest-memory");
const imported = performance.now() - begin;

function measure(call: () => unknown): number {
  const begin = performance.now();
  call();
  return 1e6 * (performance.now() - begin);
}

const map = (size: number) => GuestMemoryMmap.fromRanges([[GuestAddress(0), size]]);
const [what, size, rounds] = Deno.args;
switch (what) {
  case "prefault": {
    using memory = map(Number(size));
    const begin = performance.now();
    await memory.prefault();
    console.log(JSON.stringify([1e6 * (performance.now() - begin)]));
    break;
  }
  // By this library, and by the bare call in the same process, in turns.
  case "discard": {
    using memory = map(Number(size));
    const { symbols } = Deno.dlopen("libc.so.6", {
      madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
    });
    const [address, length] = [memory.getHostAddress(GuestAddress(0)), BigInt(size!)];
    const MADV_DONTNEED = 4;
    const calls = [
      () => memory.discard(GuestAddress(0), Number(size)),
      () => symbols.madvise(address, length, MADV_DONTNEED),
    ];
    const best = calls.map(() => Infinity);
    for (let i = 0; i < 2 * Number(rounds); i++) {
      memory.fill(GuestAddress(0), Number(size), 1);
      best[i % 2] = Math.min(best[i % 2]!, measure(calls[i % 2]!));
    }
    console.log(JSON.stringify(best));
    break;
  }
  case "first": {
    const opened = measure(pageSize);
    const first = measure(() => map(2 ** 30));
    const second = measure(() => map(2 ** 30));
    console.log(JSON.stringify([1e6 * imported, opened + first, opened, second]));
    break;
  }
  // What the first mapping cannot do without: the library, the call, and a view.
  case "floor": {
    const FIRST = {
      mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
      munmap: { parameters: ["usize", "usize"], result: "i32" },
      sysconf: { parameters: ["i32"], result: "i64" },
      __errno_location: { parameters: [], result: "pointer" },
    } as const;
    let symbols!: Deno.StaticForeignLibraryInterface<typeof FIRST>;
    let address = 0n;
    let buffer!: ArrayBuffer;
    console.log(JSON.stringify([
      measure(() => symbols = Deno.dlopen("libc.so.6", FIRST).symbols),
      measure(() => address = symbols.mmap(0n, 2n ** 30n, 3, 0x4022, -1, 0n)),
      measure(() => {
        const pointer = Deno.UnsafePointer.create(address)!;
        buffer = Deno.UnsafePointerView.getArrayBuffer(pointer, 2 ** 30);
      }),
      measure(() =>
        [Uint8Array, Uint16Array, Uint32Array, BigUint64Array, Float64Array]
          .map((View) => new View(buffer))
      ),
    ]));
  }
}
