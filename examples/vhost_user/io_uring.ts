/**
 * Transfers of files that are under way while this thread does other things: `io_uring(7)`.
 *
 * @module
 */

const SYMBOLS = {
  // long syscall(long number, ...);
  setup: { name: "syscall", parameters: ["i64", "u32", "buffer"], result: "i64" },
  enter: {
    name: "syscall",
    parameters: ["i64", "i32", "u32", "u32", "u32", "usize", "usize"],
    result: "i64",
  },
  register: { name: "syscall", parameters: ["i64", "i32", "u32", "buffer", "u32"], result: "i64" },
  // void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
  munmap: { parameters: ["pointer", "usize"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.StaticForeignLibraryInterface<typeof SYMBOLS> | undefined;
const libc = () => opened ??= Deno.dlopen("libc.so.6", SYMBOLS).symbols;

// asm-generic/unistd.h: the same for x86-64 and arm64.
const NR_SETUP = 425n;
const NR_ENTER = 426n;
const NR_REGISTER = 427n;
// linux/io_uring.h
const REGISTER_EVENTFD = 4;
const ENTER_GETEVENTS = 1;
const OFF_SQES = 0x1000_0000n;
const SQE_BYTES = 64;
const CQE_BYTES = 16;
const FSYNC_DATASYNC = 1;
const OPCODE = { read: 1, write: 2, writeThrough: 2, sync: 3 } as const;
// linux/fs.h
const RWF_DSYNC = 2;
// asm-generic/mman-common.h and mman.h
const PROT_READ_WRITE = 3;
const MAP_SHARED_POPULATE = 0x8001;
// struct iovec: void *iov_base, size_t iov_len.
const IOVEC_BYTES = 16;

/** Which way, or that all that was written has to reach the storage; `writeThrough` does both. */
export type TransferKind = keyof typeof OPCODE;

/** Memory of the host that a transfer reads or writes. */
export interface HostPiece {
  readonly address: number;
  readonly length: number;
}

/** A ring of transfers. One thread uses it. */
export class IoUring implements Disposable {
  /** How many transfers may be under way. */
  readonly depth: number;
  readonly #fd: number;
  readonly #rings: Mapped;
  readonly #entries: Mapped;
  readonly #words: Int32Array;
  readonly #sqes: DataView;
  readonly #cqes: DataView;
  // Where the numbers of the rings are, in words.
  readonly #sq: { readonly tail: number; readonly mask: number; readonly array: number };
  readonly #cq: { readonly head: number; readonly tail: number; readonly mask: number };
  // A vector for each transfer.
  readonly #vectors: Uint32Array<ArrayBuffer>;
  readonly #vectorsAddress: number;
  readonly #maxPieces: number;
  #unsubmitted = 0;

  /**
   * Makes a ring.
   *
   * @param depth How many transfers may be under way: a power of two.
   * @param maxPieces Pieces of memory of each, at most.
   * @throws {Error} The kernel refuses.
   */
  constructor(depth: number, maxPieces: number) {
    this.depth = depth;
    this.#maxPieces = maxPieces;
    const params = new Uint32Array(30);
    // SAFETY: struct io_uring_params has 120 bytes.
    this.#fd = Number(libc().setup(NR_SETUP, depth, new Uint8Array(params.buffer)));
    if (this.#fd < 0) throw new Error("Cannot make an io_uring: the kernel refuses");
    // struct io_sqring_offsets is at 40, struct io_cqring_offsets at 80.
    const [, tail, mask, , , , array] = params.subarray(10, 20);
    const [cqHead, cqTail, cqMask, , , cqes] = params.subarray(20, 30);
    const cqEntries = params[1]!;
    const bytes = Math.max(array! + 4 * depth, cqes! + CQE_BYTES * cqEntries);
    this.#rings = map(this.#fd, bytes, 0n);
    this.#entries = map(this.#fd, SQE_BYTES * depth, OFF_SQES);
    this.#words = new Int32Array(this.#rings.buffer, 0, Math.floor(bytes / 4));
    this.#sqes = new DataView(this.#entries.buffer);
    this.#cqes = new DataView(this.#rings.buffer, cqes!, CQE_BYTES * cqEntries);
    this.#sq = { tail: tail! / 4, mask: mask! / 4, array: array! / 4 };
    this.#cq = { head: cqHead! / 4, tail: cqTail! / 4, mask: cqMask! / 4 };
    this.#vectors = new Uint32Array(depth * maxPieces * IOVEC_BYTES / 4);
    this.#vectorsAddress = Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(this.#vectors)));
  }

  /** Makes an eventfd count the transfers that end. */
  notify(eventFd: number): void {
    const fds = Int32Array.of(eventFd);
    // SAFETY: the argument is one descriptor.
    if (
      libc().register(NR_REGISTER, this.#fd, REGISTER_EVENTFD, new Uint8Array(fds.buffer), 1) < 0n
    ) {
      throw new Error("Cannot hear of the ends of transfers: the kernel refuses");
    }
  }

  /**
   * Adds a transfer, for {@linkcode IoUring.submit}.
   *
   * @param kind What to do.
   * @param slot A number that no transfer has that is under way, below {@linkcode IoUring.depth}.
   * @param fd The file.
   * @param position Where in it.
   * @param pieces The memory, which stays mapped until the end of the transfer.
   */
  add(
    kind: TransferKind,
    slot: number,
    fd: number,
    position: number,
    pieces: readonly HostPiece[],
  ): void {
    let word = slot * this.#maxPieces * IOVEC_BYTES / 4;
    for (const { address, length } of pieces) {
      this.#vectors[word] = address;
      this.#vectors[word + 1] = address / 2 ** 32;
      this.#vectors[word + 2] = length;
      this.#vectors[word + 3] = length / 2 ** 32;
      word += IOVEC_BYTES / 4;
    }
    const words = this.#words;
    const { tail, mask, array } = this.#sq;
    const at = words[tail]!;
    const index = at & words[mask]!;
    const sqe = index * SQE_BYTES;
    const view = this.#sqes;
    for (let byte = 0; byte < SQE_BYTES; byte += 4) view.setUint32(sqe + byte, 0, true);
    view.setUint8(sqe, OPCODE[kind]);
    view.setInt32(sqe + 4, fd, true);
    view.setUint32(sqe + 32, slot, true);
    if (kind === "sync") view.setUint32(sqe + 28, FSYNC_DATASYNC, true);
    else {
      setNumber(view, sqe + 8, position);
      setNumber(view, sqe + 16, this.#vectorsAddress + slot * this.#maxPieces * IOVEC_BYTES);
      view.setUint32(sqe + 24, pieces.length, true);
      if (kind === "writeThrough") view.setUint32(sqe + 28, RWF_DSYNC, true);
    }
    words[array + index] = index;
    // The kernel may see the entry from here on.
    Atomics.store(words, tail, at + 1);
    this.#unsubmitted++;
  }

  /**
   * Lets the kernel begin with what was added.
   *
   * @param ends How many transfers have to end before it returns.
   */
  submit(ends = 0): void {
    while (this.#unsubmitted > 0 || ends > 0) {
      const flags = ends > 0 ? ENTER_GETEVENTS : 0;
      // SAFETY: the vectors are in memory of this object, and what they name stays mapped.
      const done = libc().enter(NR_ENTER, this.#fd, this.#unsubmitted, ends, flags, 0n, 0n);
      // A signal interrupted, or the kernel has no memory now: again.
      if (done < 0n) continue;
      this.#unsubmitted -= Number(done);
      ends = 0;
    }
  }

  /**
   * Takes the transfers that have ended.
   *
   * @param onEnd Called with each slot, and the bytes that were transferred or a negative errno.
   */
  forEnded(onEnd: (slot: number, result: number) => void): void {
    const words = this.#words;
    const { head, tail, mask } = this.#cq;
    for (let at = words[head]!; at !== Atomics.load(words, tail); at = at + 1 | 0) {
      const cqe = (at & words[mask]!) * CQE_BYTES;
      const slot = this.#cqes.getUint32(cqe, true);
      const result = this.#cqes.getInt32(cqe + 8, true);
      Atomics.store(words, head, at + 1);
      onEnd(slot, result);
    }
  }

  /** Ends the ring. No transfer may be under way. */
  [Symbol.dispose](): void {
    for (const { pointer, bytes } of [this.#rings, this.#entries]) {
      libc().munmap(pointer, BigInt(bytes));
    }
    libc().close(this.#fd);
  }
}

// As two halves: an object for each large number would take longer.
function setNumber(view: DataView, at: number, value: number): void {
  view.setUint32(at, value, true);
  view.setUint32(at + 4, value / 2 ** 32, true);
}

interface Mapped {
  readonly pointer: Deno.PointerObject;
  readonly buffer: ArrayBuffer;
  readonly bytes: number;
}

function map(fd: number, bytes: number, offset: bigint): Mapped {
  // SAFETY: the kernel chooses the address.
  const pointer = libc().mmap(0n, BigInt(bytes), PROT_READ_WRITE, MAP_SHARED_POPULATE, fd, offset);
  if (pointer === null || Deno.UnsafePointer.value(pointer) === 2n ** 64n - 1n) {
    throw new Error("Cannot map the io_uring");
  }
  // SAFETY: the memory stays mapped until the ring ends.
  return { pointer, buffer: Deno.UnsafePointerView.getArrayBuffer(pointer, bytes), bytes };
}
