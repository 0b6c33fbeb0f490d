/**
 * The device's side of a split virtqueue, written from the text of VIRTIO 1.2, section 2.7, without
 * regard to speed: what {@linkcode Virtqueue} is compared with.
 *
 * @module
 */
import type { ChainProblem } from "../../src/virtio/mod.ts";

/** Guest memory: an array of bytes, and where in it the byte at a guest address is. */
export interface ReferenceMemory {
  readonly bytes: Uint8Array;
  /** The index of the byte at an address below 2^53; `undefined` if there is no memory. */
  place(addr: number): number | undefined;
}

/** Where a queue is, and what was negotiated. */
export interface ReferenceLayout {
  readonly size: number;
  readonly descTable: number;
  readonly availRing: number;
  readonly usedRing: number;
  readonly eventIdx: boolean;
  readonly indirect: boolean;
  readonly nextAvail: number;
  readonly nextUsed: number;
}

/** An address and a length. */
export type Segment = readonly [addr: number, length: number];

/** What taking a chain comes to. */
export type Taken =
  | { kind: "chain"; head: number; readable: Segment[]; writable: Segment[] }
  | { kind: "refusal"; head: number; descriptor: number; problem: ChainProblem }
  | { kind: "jump"; index: number; nextAvail: number };

interface Descriptor {
  readonly addr: bigint;
  readonly len: number;
  readonly flags: number;
  readonly next: number;
}

const VIRTQ_DESC_F_NEXT = 1;
const VIRTQ_DESC_F_WRITE = 2;
const VIRTQ_DESC_F_INDIRECT = 4;
const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;
const VIRTQ_USED_F_NO_NOTIFY = 1;

// No address is as high, not even that of an empty buffer.
const END = 2n ** 53n;

/** A queue as its device sees it. */
export class ReferenceQueue {
  readonly memory: ReferenceMemory;
  readonly layout: ReferenceLayout;
  nextAvail: number;
  nextUsed: number;
  // The device need not look at the driver's index while it knows of chains that it has not taken.
  #known: number;
  #unsignalled = 0;
  #inUse = 0;
  #wantsNotification = true;

  constructor(memory: ReferenceMemory, layout: ReferenceLayout) {
    this.memory = memory;
    this.layout = layout;
    this.#known = this.nextAvail = layout.nextAvail;
    this.nextUsed = layout.nextUsed;
  }

  /** Takes the next chain. If there is none, the driver is asked for a notification. */
  take(): Taken | undefined {
    if (this.nextAvail === this.#known) {
      const jump = this.#look();
      if (jump !== undefined) return jump;
    }
    if (this.nextAvail === this.#known) {
      this.#ask();
      return undefined;
    }
    const { size, availRing } = this.layout;
    // Each chain has a descriptor at least.
    if (this.#inUse >= size) return { kind: "jump", index: this.#known, nextAvail: this.nextAvail };
    this.#inUse++;
    const head = this.#get16(availRing + 4 + 2 * (this.nextAvail % size));
    this.nextAvail = (this.nextAvail + 1) % 65536;
    return this.#walk(head);
  }

  /** Gives a chain back (section 2.7.8). */
  giveBack(head: number, written: number): void {
    const { size, usedRing } = this.layout;
    const entry = usedRing + 4 + 8 * (this.nextUsed % size);
    this.#put(entry, 4, head);
    this.#put(entry + 4, 4, written);
    this.nextUsed = (this.nextUsed + 1) % 65536;
    this.#put(usedRing + 2, 2, this.nextUsed);
    this.#unsignalled++;
    this.#inUse--;
  }

  /** Whether the driver is to be notified of what was given back since the last call (2.7.7). */
  needsNotification(): boolean {
    const { size, availRing, eventIdx } = this.layout;
    const unsignalled = this.#unsignalled;
    this.#unsignalled = 0;
    if (unsignalled === 0) return false;
    if (!eventIdx) return this.#get16(availRing) % 2 !== VIRTQ_AVAIL_F_NO_INTERRUPT;
    // The driver wants to know when the entry at used_event is used: is it one of the last ones?
    const usedEvent = this.#get16(availRing + 4 + 2 * size);
    for (let back = 1; back <= Math.min(unsignalled, 65536); back++) {
      if ((this.nextUsed - back + 2 * 65536) % 65536 === usedEvent) return true;
    }
    return false;
  }

  /** Asks for notifications, or for none (2.7.10). Returns whether chains are there, or a jump. */
  notifyOnAvail(wanted: boolean): boolean | Taken {
    this.#wantsNotification = wanted;
    if (wanted) this.#ask();
    else if (!this.layout.eventIdx) this.#put(this.layout.usedRing, 2, VIRTQ_USED_F_NO_NOTIFY);
    return this.#look() ?? this.#known !== this.nextAvail;
  }

  #ask(): void {
    const { size, usedRing, eventIdx } = this.layout;
    if (!this.#wantsNotification) return;
    if (eventIdx) this.#put(usedRing + 4 + 8 * size, 2, this.nextAvail);
    else this.#put(usedRing, 2, 0);
  }

  #look(): Taken | undefined {
    const index = this.#get16(this.layout.availRing + 2);
    const ahead = (index - this.nextAvail + 65536) % 65536;
    if (ahead > this.layout.size) return { kind: "jump", index, nextAvail: this.nextAvail };
    this.#known = index;
    return undefined;
  }

  #walk(head: number): Taken {
    const { size, descTable, indirect } = this.layout;
    const readable: Segment[] = [];
    const writable: Segment[] = [];
    const refuse = (descriptor: number, problem: ChainProblem): Taken => {
      return { kind: "refusal", head, descriptor, problem };
    };
    let table = descTable;
    let entries = size;
    let isInside = false;
    // The descriptor that refers to the table that the walk is in.
    let referrer = head;
    let index = head;
    let count = 0;
    let bytes = 0n;
    let sawWritable = false;
    while (true) {
      // 2.7.5: next is an index into the table.
      if (index >= entries) return refuse(index, "index");
      const descriptor = this.#descriptor(table + 16 * index);
      if (descriptor === undefined) return refuse(referrer, "table");
      const { addr, len, flags, next } = descriptor;
      const hasNext = (flags & VIRTQ_DESC_F_NEXT) !== 0;
      const isWritable = (flags & VIRTQ_DESC_F_WRITE) !== 0;
      if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) {
        // 2.7.5.3.1: only if negotiated; not in a table; not with NEXT. WRITE is to be ignored.
        if (!indirect || isInside || hasNext) return refuse(index, "indirect");
        if (addr >= END || addr + BigInt(len) > END) return refuse(index, "address");
        if (len === 0 || len % 16 !== 0) return refuse(index, "table");
        table = Number(addr);
        referrer = index;
        entries = len / 16;
        isInside = true;
        index = 0;
        continue;
      }
      // 2.7.5.3.1: a chain is no longer than the queue size. A loop is longer than any.
      count++;
      if (count > size) return refuse(index, "loop");
      if (addr >= END || addr + BigInt(len) > END) return refuse(index, "address");
      // 2.7.5: at most 2^32 bytes in all.
      bytes += BigInt(len);
      if (bytes > 2n ** 32n) return refuse(index, "length");
      // 2.7.4.2: what the device writes comes after all that it reads.
      if (isWritable) sawWritable = true;
      else if (sawWritable) return refuse(index, "order");
      if (len > 0) (isWritable ? writable : readable).push([Number(addr), len]);
      if (!hasNext) return { kind: "chain", head, readable, writable };
      index = next;
    }
  }

  #descriptor(addr: number): Descriptor | undefined {
    const view = new DataView(new ArrayBuffer(16));
    for (let i = 0; i < 16; i++) {
      const place = this.memory.place(addr + i);
      if (place === undefined) return undefined;
      view.setUint8(i, this.memory.bytes[place]!);
    }
    return {
      addr: view.getBigUint64(0, true),
      len: view.getUint32(8, true),
      flags: view.getUint16(12, true),
      next: view.getUint16(14, true),
    };
  }

  #get16(addr: number): number {
    const { bytes, place } = this.memory;
    return bytes[place(addr)!]! + 256 * bytes[place(addr + 1)!]!;
  }

  #put(addr: number, length: number, value: number): void {
    for (let i = 0; i < length; i++) {
      this.memory.bytes[this.memory.place(addr + i)!] = Math.floor(value / 256 ** i) % 256;
    }
  }
}
