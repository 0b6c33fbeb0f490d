/**
 * A mapping in the host: what it is, which protection it has, and who holds it.
 *
 * @module
 */
import { PROT, protectMemory, replaceMemory, unmapMemory } from "../../../ffi/memory.ts";
import { addressOf } from "../../../ffi/io.ts";
import { forAll } from "../../bitmap/bitmap.ts";
import { InvalidHandle, MappingShared } from "../../error/mmap_region_error.ts";
import { MemoryClosed } from "../../error/volatile_memory_error.ts";
import { checkPermissions, Permissions } from "../../permissions.ts";
import { ControlBlock } from "./control_block.ts";
import { Descriptor } from "./descriptor.ts";
import type { PageOptions } from "./page_options.ts";
import { sealOf } from "./seal.ts";

/** What a mapping is, for its whole life and in every thread. */
export interface MappingShape {
  /** The host address of byte 0. */
  readonly address: number;
  /** Bytes that may be accessed. */
  readonly length: number;
  /** Bytes before `address`, and as many after the last page, that belong to the mapping: guards. */
  readonly guard: number;
  /** What kind of memory it is. */
  readonly kind: "anonymous" | "memfd" | "file" | "foreign";
  /** Whether writes reach the file and other processes. */
  readonly shared: boolean;
  /** Bytes of its pages: a huge page's where it consists of those. */
  readonly pageSize: number;
  /** The options of its pages. */
  readonly options: PageOptions;
  /** `MAP_*` bits it was mapped with. */
  readonly flags: number;
  /** Where it begins in its file; 0 without one. */
  readonly fileStart: number;
}

/** A mapping on its way to another thread, without its bitmap: for {@linkcode MmapRegion.attach}. */
export interface MappingHandle {
  /** The word of the control block that is the handle's hold. */
  readonly word: number;
  /** What is in that word until the handle is attached. */
  readonly value: number;
  /** The shape, the nonce of the control block and the descriptor, as JSON. */
  readonly text: string;
  /** {@linkcode sealOf} the text. */
  readonly seal: string;
  /** The reference count of the descriptor. */
  readonly references: SharedArrayBuffer | undefined;
  /** Empty: `postMessage` keeps it, and text that is stored somewhere does not. */
  readonly token: SharedArrayBuffer;
}

/** A mapping as one thread holds it. The last thread that releases it unmaps it. */
export class Mapping {
  readonly #control: ControlBlock;
  readonly #word: number;
  readonly #onRelease: (() => void) | undefined;
  #released = false;
  // Whether the words of the control block may be another mapping's.
  #left = false;
  // Calls of this library that are pending in other threads.
  #pending = 0;
  readonly #onReleased = new Set<() => void>();

  private constructor(
    readonly shape: MappingShape,
    readonly descriptor: Descriptor | undefined,
    control: ControlBlock,
    word: number,
    onRelease?: () => void,
  ) {
    this.#control = control;
    this.#word = word;
    control.use();
    this.#onRelease = onRelease;
  }

  /**
   * Takes over memory that was just mapped.
   *
   * @param shape What it is.
   * @param protection Its protection.
   * @param descriptor The file, with a reference that becomes the mapping's.
   * @param onRelease Called in this thread, which has ended its hold, when no other holds it either.
   */
  static of(
    shape: MappingShape,
    protection: Permissions,
    descriptor?: Descriptor,
    onRelease?: () => void,
  ): Mapping {
    const control = new ControlBlock();
    control.protection = protection;
    return new Mapping(shape, descriptor, control, control.hold(), onRelease);
  }

  /**
   * Holds what another thread holds.
   *
   * @param handle What it sent. It can be used once.
   * @throws {InvalidHandle} It is not as {@linkcode Mapping.share} made it in this process.
   * @throws {MemoryClosed} It was used already.
   */
  static attach(handle: MappingHandle): Mapping {
    const { text, seal, references, token, word, value } = handle ?? {};
    const isSent = typeof text === "string" && token instanceof SharedArrayBuffer;
    if (!isSent || seal !== sealOf(text)) {
      throw new InvalidHandle("Cannot attach memory: the handle is not one of this process");
    }
    const { nonce, descriptor, control, counts, ...shape } = JSON.parse(text);
    const isWhole = descriptor === undefined ||
      references instanceof SharedArrayBuffer && references.byteLength === 4;
    // A copy of a count has the same content, but counts by itself.
    if (!isWhole || placeOf(references) !== counts) {
      throw new InvalidHandle("Cannot attach memory: the handle is of another mapping, or a copy");
    }
    // Where the mapping is gone, the words are another one's, or nobody's.
    const block = new ControlBlock(control);
    if (block.nonce !== nonce || !block.claim({ word, value })) {
      throw new MemoryClosed("a handle that was used");
    }
    const file = descriptor && Descriptor.over(descriptor, references!);
    return new Mapping(shape, file, block, word);
  }

  /** Whether something is a mapping that this class made. */
  static is(value: object): value is Mapping {
    return #control in value;
  }

  /** A number of this mapping, as text: no other of this process has had it. */
  get nonce(): string {
    return this.#control.nonce;
  }

  /** The protection in the kernel. */
  get protection(): Permissions {
    return this.#control.protection;
  }

  /** Whether unmapping is up to this library. */
  get owned(): boolean {
    return this.shape.kind !== "foreign";
  }

  /** Adds a reference for another thread. */
  share(): MappingHandle {
    const { shape, descriptor } = this;
    const references = descriptor?.references;
    const text = JSON.stringify({
      ...shape,
      nonce: this.nonce,
      descriptor: descriptor?.identity,
      control: this.#control.address,
      counts: placeOf(references),
    });
    const token = new SharedArrayBuffer(0);
    return { text, seal: sealOf(text), references, token, ...this.#control.issue() };
  }

  /**
   * Refuses a change of the protection that another holder could not know of.
   *
   * @throws {MappingShared} It takes a permission away, and another thread, or a handle, holds the
   * mapping.
   */
  ensureMayProtect(protection: Permissions): void {
    checkPermissions(protection);
    if ((this.protection & ~protection) === 0) return;
    const { otherHolders } = this;
    if (otherHolders > 0) throw new MappingShared(otherHolders);
  }

  /**
   * Changes the protection. No view may show the memory.
   *
   * @returns The new protection.
   * @throws {MappingShared} See {@linkcode Mapping.ensureMayProtect}: another thread may have added
   * a permission since that was asked.
   * @throws {SystemError} The kernel refuses. The protection is as before then.
   */
  protect(protection: Permissions): Permissions {
    const { address, length } = this.shape;
    this.#control.exclusively(() => {
      this.ensureMayProtect(protection);
      try {
        protectMemory(address, length, protBits(protection));
      } catch (error) {
        // Pieces that were discarded are mappings of the kernel, of which some may have changed.
        if (this.owned) protectMemory(address, length, protBits(this.protection));
        throw error;
      }
      this.#control.protection = protection;
    });
    return protection;
  }

  /** Whether this thread has ended its hold. */
  get released(): boolean {
    return this.#released;
  }

  /**
   * Holds the mapping while a call in another thread uses it: {@linkcode Mapping.release} waits.
   *
   * @param call The call.
   * @param onReleased Called when it is waited for.
   * @throws {MemoryClosed} The mapping was released before.
   */
  async during<T>(call: () => Promise<T>, onReleased: () => void = () => {}): Promise<T> {
    if (this.#released) throw new MemoryClosed("mapping");
    this.#pending++;
    this.#onReleased.add(onReleased);
    try {
      return await call();
    } finally {
      this.#onReleased.delete(onReleased);
      if (--this.#pending === 0 && this.#released) this.#end();
    }
  }

  /** Ends this thread's hold. No view may point at the memory any more. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    if (this.#pending === 0) this.#end();
    else forAll(this.#onReleased, (onReleased) => onReleased());
  }

  /** How many other threads and handles hold the mapping. */
  get otherHolders(): number {
    this.#control.releaseDead();
    return this.#control.holders - 1;
  }

  /** Whether pages of it are still to be loaded: known to all threads. */
  get isRestoring(): boolean {
    return this.#control.isRestoring;
  }

  set isRestoring(value: boolean) {
    this.#control.isRestoring = value;
  }

  /** Ends a hold of a thread that has another one. */
  releaseExtra(): void {
    this.#released = true;
    this.#control.release(this.#word);
    this.#leave();
  }

  /**
   * Makes the last holder leave the addresses mapped, as memory that reads zero: a view may point at
   * them, in a buffer that was transferred unnoticed.
   */
  keepAddresses(): void {
    // Nobody has a view of what nobody holds, and the words are another mapping's by then.
    if (!this.#left) this.#control.keepAddresses();
  }

  #end(): void {
    if (this.#control.release(this.#word)) {
      this.#unmap();
      this.#leave();
    } else watch(this);
  }

  /** Whether the mapping needs no more watching: unmaps it if only dead threads held it. */
  releaseDead(): boolean {
    if (this.#control.releaseDead()) this.#unmap();
    else if (this.#control.holders === 0) this.#onRelease?.();
    const isOver = this.#control.holders === 0;
    if (isOver) this.#leave();
    return isOver;
  }

  #leave(): void {
    this.#left = true;
    this.#control.leave();
  }

  #unmap(): void {
    const { address, length, guard, pageSize } = this.shape;
    if (this.owned) {
      const pages = Math.ceil(length / pageSize) * pageSize;
      const [start, total] = [address - guard, pages + 2 * guard];
      if (this.#control.keepsAddresses) replaceMemory(start, total);
      else unmapMemory(start, total);
    }
    this.#onRelease?.();
    this.descriptor?.release();
  }
}

/** `PROT_*` bits. */
export function protBits(protection: Permissions): number {
  return (Permissions.allow(protection, Permissions.Read) ? PROT.read : 0) |
    (Permissions.allow(protection, Permissions.Write) ? PROT.write : 0);
}

// Where the count of a descriptor is: the same for all threads of this process.
function placeOf(references: unknown): number {
  return references instanceof SharedArrayBuffer ? addressOf(new Uint8Array(references)) : 0;
}

// Mappings that this thread has released and others hold. One of those may be terminated without
// releasing its hold.
const watched = new Set<Mapping>();
const FIRST_DELAY = 10;
const LAST_DELAY = 1000;
let delay = FIRST_DELAY;
let isWatching = false;
// Waiting for a word that never changes is a timer that neither keeps the program alive nor counts as
// a leak in its tests.
let tick: Int32Array | undefined;

function watch(mapping: Mapping): void {
  watched.add(mapping);
  delay = FIRST_DELAY;
  if (isWatching) Atomics.notify(tick!, 0);
  else void keepWatching();
}

async function keepWatching(): Promise<void> {
  isWatching = true;
  tick ??= new Int32Array(new SharedArrayBuffer(4));
  try {
    while (watched.size > 0) {
      await Atomics.waitAsync(tick, 0, 0, delay).value;
      delay = Math.min(2 * delay, LAST_DELAY);
      forAll(watched, (mapping) => {
        if (mapping.releaseDead()) watched.delete(mapping);
      });
    }
  } finally {
    isWatching = false;
  }
}
