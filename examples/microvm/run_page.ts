/**
 * The page that KVM and the program share for each virtual CPU: `struct kvm_run` of `linux/kvm.h`.
 * After each exit it says why the guest stopped, and takes what the guest shall read.
 *
 * It is memory that others write, as the guest's is, so it is mapped and read in the same way: a
 * mapping, and references to the fields that codecs lay out. The references are made once: an exit
 * makes no object.
 *
 * @module
 */
import { array, Backing, bytes, MmapRegion, struct, type VolatileRef } from "@vmm/guest-memory";
import { u16, u32, u64, u8 } from "@vmm/guest-memory";

// 64-bit fields whose values are small are halves, which are plain numbers.
const u32Pair = struct({ low: u32, high: u32 });

const Head = struct({
  requestInterruptWindow: u8,
  immediateExit: u8,
  padding: bytes(6),
  exitReason: u32,
  readyForInterruptInjection: u8,
  ifFlag: u8,
  flags: u16,
  cr8: u64,
  apicBase: u64,
});
/** Where the union begins whose members follow. */
const UNION = Head.byteLength;
const Io = struct({ direction: u8, size: u8, port: u16, count: u32, dataOffset: u32Pair });
const Mmio = struct({ address: u32Pair, data: bytes(8), length: u32, isWrite: u8 });
const FailEntry = struct({ reason: u64, cpu: u32 });
const InternalError = struct({ suberror: u32, count: u32, data: array(u64, 16) });
const EmulationFailure = struct({
  suberror: u32,
  count: u32,
  flags: u64,
  size: u8,
  instruction: bytes(15),
});
const SystemEvent = struct({ type: u32, count: u32, data: array(u64, 16) });

/** `KVM_INTERNAL_ERROR_EMULATION`: KVM met an instruction that it cannot emulate. */
const INTERNAL_ERROR_EMULATION = 1;
/** `KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES`. */
const HAS_INSTRUCTION = 1n;

/** What `KVM_EXIT_INTERNAL_ERROR` says. */
export interface InternalErrorExit {
  /** `KVM_INTERNAL_ERROR_*`. */
  readonly suberror: number;
  /** The bytes of the instruction that could not be emulated, where KVM gives them. */
  readonly instruction: Uint8Array | undefined;
}

/** A virtual CPU's run page, mapped. */
export class RunPage implements Disposable {
  readonly #mapping: MmapRegion;
  readonly #exitReason: VolatileRef<number>;
  readonly #direction: VolatileRef<number>;
  readonly #size: VolatileRef<number>;
  readonly #port: VolatileRef<number>;
  readonly #count: VolatileRef<number>;
  readonly #dataOffset: VolatileRef<number>;
  readonly #addressLow: VolatileRef<number>;
  readonly #addressHigh: VolatileRef<number>;
  readonly #length: VolatileRef<number>;
  readonly #isWrite: VolatileRef<number>;

  /**
   * Maps the page of a virtual CPU.
   *
   * @param vcpuFd The virtual CPU.
   * @param size Bytes, as KVM says.
   */
  constructor(vcpuFd: number, size: number) {
    const mapping = new MmapRegion(size, { backing: Backing.file(vcpuFd) });
    this.#mapping = mapping;
    this.#exitReason = mapping.getRef(u32, Head.offsets.exitReason);
    this.#direction = mapping.getRef(u8, UNION + Io.offsets.direction);
    this.#size = mapping.getRef(u8, UNION + Io.offsets.size);
    this.#port = mapping.getRef(u16, UNION + Io.offsets.port);
    this.#count = mapping.getRef(u32, UNION + Io.offsets.count);
    this.#dataOffset = mapping.getRef(u32, UNION + Io.offsets.dataOffset);
    this.#addressLow = mapping.getRef(u32, UNION + Mmio.offsets.address);
    this.#addressHigh = mapping.getRef(u32, UNION + Mmio.offsets.address + 4);
    this.#length = mapping.getRef(u32, UNION + Mmio.offsets.length);
    this.#isWrite = mapping.getRef(u8, UNION + Mmio.offsets.isWrite);
  }

  /** Whether KVM completes the last exit only, and fails with `EINTR` rather than enter the guest. */
  set immediateExit(value: boolean) {
    this.#mapping.asVolatileSlice().writeObj(u8, value ? 1 : 0, Head.offsets.immediateExit);
  }

  /** Why the guest stopped: `KVM_EXIT_*`. */
  get exitReason(): number {
    return this.#exitReason.load();
  }

  /** Of a port access: whether the guest writes. */
  get isOut(): boolean {
    return this.#direction.load() === 1;
  }

  /** Of a port access: bytes of each value, 1, 2 or 4. */
  get size(): number {
    return this.#size.load();
  }

  /** Of a port access: the port. */
  get port(): number {
    return this.#port.load();
  }

  /** Of a port access: how many values, more than 1 for `rep outsb` and the like. */
  get count(): number {
    return this.#count.load();
  }

  /** Of a port access: where the values are in the page. */
  get dataOffset(): number {
    return this.#dataOffset.load();
  }

  /** Of a memory access: the guest physical address, below 2^52. */
  get address(): number {
    return this.#addressHigh.load() * 2 ** 32 + this.#addressLow.load();
  }

  /** Of a memory access: bytes, at most 8. */
  get length(): number {
    return this.#length.load();
  }

  /** Of a memory access: whether the guest writes. */
  get isWrite(): boolean {
    return this.#isWrite.load() === 1;
  }

  /** Of a memory access: where the bytes are in the page. */
  readonly memoryDataOffset: number = UNION + Mmio.offsets.data;

  /** Of a memory access: the bytes that the guest writes, a copy. */
  get data(): Uint8Array {
    const data = new Uint8Array(Math.min(this.length, 8));
    this.#mapping.asVolatileSlice().readSlice(data, this.memoryDataOffset);
    return data;
  }

  /** Of a memory access that reads: gives the guest all ones, as a bus does that nobody drives. */
  floatBus(): void {
    this.#mapping.asVolatileSlice().writeObj(u64, 2n ** 64n - 1n, this.memoryDataOffset);
  }

  /** A value of an access, at an offset in the page. `size` is 1, 2 or 4 bytes. */
  value(offset: number, size: number): number {
    const slice = this.#mapping.asVolatileSlice();
    return size === 1 ? slice.readObj(u8, offset) : slice.readObj(size === 2 ? u16 : u32, offset);
  }

  /** Sets a value of an access that reads. */
  setValue(offset: number, size: number, value: number): void {
    const slice = this.#mapping.asVolatileSlice();
    slice.writeObj(size === 1 ? u8 : size === 2 ? u16 : u32, value, offset);
  }

  /** The processor's reason not to enter the guest. */
  get entryFailure(): bigint {
    return this.#mapping.getRef(FailEntry, UNION).load().reason;
  }

  /** What KVM could not do. */
  get internalError(): InternalErrorExit {
    const { suberror, count, data } = this.#mapping.getRef(InternalError, UNION).load();
    // Where bytes are given, they take the two words after the flags.
    if (suberror !== INTERNAL_ERROR_EMULATION || count < 3 || (data[0]! & HAS_INSTRUCTION) === 0n) {
      return { suberror, instruction: undefined };
    }
    const { size, instruction } = this.#mapping.getRef(EmulationFailure, UNION).load();
    return { suberror, instruction: instruction.subarray(0, size) };
  }

  /** What happened to the whole machine: `KVM_SYSTEM_EVENT_*`. */
  get systemEvent(): number {
    return this.#mapping.getRef(SystemEvent, UNION).load().type;
  }

  /** Unmaps the page. */
  [Symbol.dispose](): void {
    this.#mapping.close();
  }
}
