/** This library's side of `bench/management.ts`: prints nanoseconds as JSON. */
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
  case "discard": {
    using memory = map(Number(size));
    let best = Infinity;
    for (let i = 0; i < Number(rounds); i++) {
      memory.fill(GuestAddress(0), Number(size), 1);
      best = Math.min(best, measure(() => memory.discard(GuestAddress(0), Number(size))));
    }
    console.log(JSON.stringify([best]));
    break;
  }
  case "first": {
    const opened = measure(pageSize);
    const first = measure(() => map(2 ** 30));
    const second = measure(() => map(2 ** 30));
    console.log(JSON.stringify([1e6 * imported, opened + first, opened, second]));
  }
}
