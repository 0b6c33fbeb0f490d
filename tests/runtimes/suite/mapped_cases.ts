/**
 * What mapped memory does in every runtime with FFI. `node:` modules are what all of them have.
 *
 * @module
 */
import {
  AtomicBitmap,
  Backing,
  capabilities,
  EventFd,
  Fd,
  GuestAddress,
  GuestMemoryMmap,
  InvalidGuestAddress,
  MappingPastEof,
  MemoryClosed,
  MmapRegion,
  pageSize,
  SystemError,
  takeDirty,
  u32,
  u64,
  UnixSocket,
} from "@vmm/guest-memory";
import {
  FaultHandler,
  FaultsUnavailable,
  restore,
  snapshotWhileRunning,
  writeSnapshot,
} from "@vmm/guest-memory/snapshot";
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";
import { Worker } from "node:worker_threads";
import { type Case, same, throwing } from "./case.ts";

const at = GuestAddress;
const GIB = 2 ** 30;

/** The cases of Linux and macOS. */
export const mappedCases: readonly Case[] = [
  {
    name: "4 GiB are mapped around a hole, and read and written at every end",
    run() {
      using memory = GuestMemoryMmap.fromRanges([[at(0), 3 * GIB], [at(4 * GIB), GIB]]);
      for (const address of [0, GIB - 4, 2 * GIB, 3 * GIB - 8, 4 * GIB, 5 * GIB - 8]) {
        memory.writeObj(u64, BigInt(address) + 2n ** 63n, at(address));
        same(memory.readObj(u64, at(address)), BigInt(address) + 2n ** 63n);
        memory.store(u32, 7, at(address));
        const counter = memory.getAtomicRef(u32, at(address));
        same([counter.fetchAdd(3), counter.compareExchange(10, 1), counter.load()], [7, 10, 1]);
      }
      same(memory.write(new Uint8Array(5000), at(3 * GIB - 1000)), 1000);
      for (const address of [3 * GIB, 4 * GIB - 1, 5 * GIB]) {
        throwing(InvalidGuestAddress, () => memory.readObj(u32, at(address)));
      }
    },
  },
  {
    name: "a region of 8 GiB is accessed to its end; Bun says how large one may be",
    run() {
      const make = () => GuestMemoryMmap.fromRanges([[at(0), 8 * GIB]]);
      if (process.versions["bun"] !== undefined) {
        const { message } = throwing(RangeError, make);
        same(message.includes("at most 4 GiB"), true);
        return;
      }
      using memory = make();
      memory.store(u64, 5n, at(8 * GIB - 8));
      same(memory.readObj(u64, at(8 * GIB - 8)), 5n);
    },
  },
  {
    name: "regions of 4 GiB, one after the other, are accessed over their boundary",
    run() {
      using memory = GuestMemoryMmap.fromRanges([[at(0), 4 * GIB], [at(4 * GIB), 4 * GIB]]);
      memory.writeObj(u64, 0x1122_3344_5566_7788n, at(4 * GIB - 3));
      same(memory.readObj(u64, at(4 * GIB - 3)), 0x1122_3344_5566_7788n);
      same(memory.write(new Uint8Array(1000), at(4 * GIB - 500)), 1000);
      same(memory.readObj(u64, at(4 * GIB - 3)), 0n);
    },
  },
  {
    name: "copies of all sizes arrive",
    run() {
      using memory = GuestMemoryMmap.fromRanges([[at(0), 2 ** 21], [at(2 ** 21), 2 ** 21]]);
      for (const length of [0, 1, 63, 512, 4097, 2 ** 20]) {
        const bytes = Uint8Array.from({ length }, (_, i) => i * 7 + length);
        for (const address of [3, 2 ** 21 - Math.ceil(length / 2)]) {
          same(memory.write(bytes, at(address)), length);
          const copy = new Uint8Array(length);
          same(memory.read(copy, at(address)), length);
          same(copy.every((byte, i) => byte === bytes[i]), true);
        }
      }
    },
  },
  {
    name: "dirty pages of mapped memory are runs",
    run() {
      const page = pageSize();
      using memory = GuestMemoryMmap.fromRanges([[at(0), GIB], [at(4 * GIB), GIB]], {
        bitmap: (length) => new AtomicBitmap(length, page),
      });
      memory.write(new Uint8Array(page + 1), at(GIB - 2 * page));
      memory.writeObj(u32, 1, at(4 * GIB));
      using dirty = takeDirty(memory);
      same([...dirty], [[GIB - 2 * page, 2 * page], [4 * GIB, page]]);
    },
  },
  {
    name: "a file is mapped through a FileHandle, and read and written through it",
    async run() {
      await withFile(async (file) => {
        const page = pageSize();
        await file.truncate(2 * page);
        await file.write("hello", 0);
        using memory = GuestMemoryMmap.fromRanges([[at(0), 2 * page]], {
          backing: Backing.file(file),
        });
        const bytes = new Uint8Array(5);
        memory.readSlice(bytes, at(0));
        same(new TextDecoder().decode(bytes), "hello");
        memory.writeObj(u32, 0x41424344, at(page));
        memory.readExactVolatileFrom(at(8), new Fd(file).at(1), 3);
        const { buffer } = await file.read(new Uint8Array(4), 0, 4, page);
        same(buffer, [0x44, 0x43, 0x42, 0x41]);
        same(memory.readObj(u32, at(8)), 0x006c_6c65);
        throwing(
          MappingPastEof,
          () => GuestMemoryMmap.fromRanges([[at(0), 3 * page]], { backing: Backing.file(file) }),
        );
      });
    },
  },
  {
    name: "closing empties the views and ends every access",
    run() {
      const memory = GuestMemoryMmap.fromRanges([[at(0), GIB]]);
      const [region] = memory;
      const view = region!.asVolatileSlice().rawView();
      const slice = memory.getSlice(at(16), 16);
      same(view.length, GIB);
      memory.close();
      same([view.length, view[0]], [0, undefined]);
      for (const use of [() => slice.readObj(u32, 0), () => memory.readObj(u32, at(0))]) {
        throwing(MemoryClosed, use);
      }
    },
  },
  {
    name: "a system call that fails says why",
    run() {
      const { call, code } = throwing(SystemError, () => new MmapRegion(2 ** 52));
      same([call, code], ["mmap", "ENOMEM"]);
    },
  },
  {
    name: "discarded memory is zero, and prefaulted memory is in RAM",
    async run() {
      const size = 64 * pageSize();
      using memory = GuestMemoryMmap.fromRanges([[at(0), size]]);
      memory.fill(at(0), size, 0xff);
      same([memory.discard(at(0), size), memory.isZero(at(0), size)], [size, true]);
      for (let i = 0; i < 4; i++) memory.writeObj(u64, 2n ** 56n, at(i * 8));
      same(memory.isZero(at(0), 32), false);
      await memory.prefault();
      same([...memory.residentRanges()], [[0, size]]);
    },
  },
  {
    name: "a signal that a timer raises stops prefaulting",
    async run() {
      using memory = GuestMemoryMmap.fromRanges([[at(0), 2 ** 26]]);
      const stop = new AbortController();
      setTimeout(() => stop.abort("stop"));
      const prefaulting = memory.prefault({ signal: stop.signal, chunk: pageSize() });
      same(await prefaulting.catch((reason) => reason), "stop");
    },
  },
  {
    name: "memory that is forgotten does no harm",
    async run() {
      for (let round = 0; round < 30; round++) {
        for (let i = 0; i < 20; i++) {
          const memory = GuestMemoryMmap.fromRanges([[at(0), GIB]]);
          memory.writeObj(u32, i, at(i * 4096));
          if (i % 2 === 0) memory.close();
        }
        await new Promise((resolve) => setTimeout(resolve));
      }
    },
  },
];

/** The cases of Linux alone. */
export const linuxCases: readonly Case[] = [
  {
    name: "a thread attaches the same memory",
    async run() {
      using memory = GuestMemoryMmap.fromRanges([[at(0), 2 ** 20]]);
      same(await answer("./attaching_worker.js", memory.share()), "done");
      same(memory.load(u32, at(4096)), 1000);
    },
  },
  {
    name: "a file is leased on the main thread; in a thread elsewhere than in Deno, it is refused",
    async run() {
      await withFile(async (file, path) => {
        await file.truncate(4096);
        await file.close();
        await using reader = await open(path, "r");
        const backing = Backing.file(reader, { private: true, lease: () => {} });
        GuestMemoryMmap.fromRanges([[at(0), 4096]], { backing }).close();
        const expected = process.versions["deno"] === undefined ? "lease" : "leased";
        same(await answer("./leasing_worker.js", reader.fd), expected);
      });
    },
  },
  {
    name: "another mapping of a memfd is the same memory",
    run() {
      using memory = GuestMemoryMmap.fromRanges([[at(0), 2 ** 20]], { backing: Backing.memfd() });
      const descriptions = memory.describe();
      const fds = new Set(descriptions.map(({ fd }) => fd!));
      using other = GuestMemoryMmap.fromDescription(descriptions, [...fds]);
      memory.writeObj(u32, 42, at(2 ** 20 - 4));
      same(other.readObj(u32, at(2 ** 20 - 4)), 42);
    },
  },
  {
    name: "waiting for a counter and for a message ends when it comes",
    async run() {
      using counter = new EventFd();
      setTimeout(() => counter.write(3n), 30);
      same(await counter.wait(), 3n);
      const [here, there] = UnixSocket.pair();
      try {
        const received = there.receive();
        await here.send(Uint8Array.of(1, 2, 3), [counter.fd]);
        using message = (await received)!;
        same(
          [message.bytes, message.fds.length],
          [[1, 2, 3], 1].map((item) => Array.isArray(item) ? Uint8Array.from(item) : item),
        );
      } finally {
        here.close();
        there.close();
      }
    },
  },
  {
    name: "a snapshot is restored by copy-on-write",
    async run() {
      await withFile(async (file) => {
        using memory = GuestMemoryMmap.fromRanges([[at(0), 2 ** 24]]);
        memory.writeObj(u64, 77n, at(2 ** 23));
        // Pages of one byte, after a page that is empty though it was touched.
        memory.writeObj(u64, 0n, at(2 ** 22 - pageSize()));
        memory.fill(at(2 ** 22), 2 * pageSize(), 0xab);
        const { manifest } = await writeSnapshot(memory, file.fd, { skip: "zero" });
        using clone = restore(manifest, file.fd, { mode: "copyOnWrite" });
        same(clone.readObj(u64, at(2 ** 22 + pageSize())), 0xabab_abab_abab_ababn);
        clone.writeObj(u64, 78n, at(2 ** 23 + 8));
        same([clone.readObj(u64, at(2 ** 23)), memory.readObj(u64, at(2 ** 23 + 8))], [77n, 0n]);
      });
    },
  },
  {
    name: "capabilities() knows this host and this runtime",
    run() {
      const { backings, calls } = capabilities();
      same([backings.anonymous.available, backings.memfd.available], [true, true]);
      if (process.versions["deno"] !== undefined) return;
      same([calls.userfaultfd, calls.pageFaults].map(({ available }) => available), [false, false]);
      same(calls.pageFaults.reason?.includes("only Deno"), true);
    },
  },
  {
    name: "threads of the library load and save pages in Deno, elsewhere they are refused",
    async run() {
      await withFile(async (file) => {
        using memory = GuestMemoryMmap.fromRanges([[at(0), 2 ** 20]]);
        memory.writeObj(u64, 77n, at(2 ** 19));
        const { manifest } = await writeSnapshot(memory, file);
        const lazily = () => restore(manifest, file, { mode: "lazy" });
        if (process.versions["deno"] === undefined) {
          same(throwing(FaultsUnavailable, lazily).message.includes("Deno"), true);
          const running = snapshotWhileRunning(memory, file);
          same(await running.catch((error) => error instanceof FaultsUnavailable), true);
          return;
        }
        if (!capabilities().calls.pageFaults.available) return;
        using clone = lazily();
        // Who touches a page before its thread has begun would wait for ever if it cannot.
        await FaultHandler.of(clone).done;
        same(clone.readObj(u64, at(2 ** 19)), 77n);
        memory.writeObj(u64, 78n, at(2 ** 19));
        await snapshotWhileRunning(memory, file);
        using eager = restore(manifest, file, { mode: "eager" });
        same(eager.readObj(u64, at(2 ** 19)), 78n);
      });
    },
  },
];

// What a thread answers to a message.
async function answer(module: string, message: unknown): Promise<unknown> {
  const worker = new Worker(new URL(module, import.meta.url));
  try {
    worker.postMessage(message);
    return await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
  } finally {
    await worker.terminate();
  }
}

async function withFile(run: (file: FileHandle, path: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(`${tmpdir()}/guest-memory-`);
  try {
    const path = `${folder}/file`;
    const file = await open(path, "w+");
    try {
      await run(file, path);
    } finally {
      await file.close();
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}
