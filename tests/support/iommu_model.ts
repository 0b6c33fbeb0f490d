/**
 * Translated memory against a model: a table of bytes, whatever is mapped where.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  ADDRESS_SPACE_END,
  AtomicBitmap,
  type BitmapSlice,
  GuestAddress,
  GuestMemoryError,
  GuestMemoryHeap,
  type IoMemory,
  type Iommu,
  IommuMemory,
  Iotlb,
  Permissions,
} from "../../mod.ts";
import type {} from "./iommu_operations.ts";

const { ReadWrite } = Permissions;
export const PAGE = 8;
export const PAGES = 6;
export const SPACE: number = PAGE * PAGES;

export interface Region {
  readonly start: number;
  readonly end: number;
}

/** Where memory is: regions from a base, and the I/O virtual space from another. */
export interface Layout {
  readonly regions: readonly Region[];
  readonly physicalBase: number;
  readonly iovaBase: number;
}

/** What a byte of the I/O virtual space is translated to. */
interface Translation {
  readonly physical: number;
  readonly rights: Permissions;
}

/** How an operation ended: a value, or an error's name and numbers. */
export type Outcome = Readonly<Record<string, unknown>>;

/** The accessible part of a range: where its bytes are, and the sizes of the pieces they are in. */
export interface Located {
  readonly physical: readonly number[];
  readonly pieces: readonly number[];
}

export class Model {
  readonly layout: Layout;
  readonly content: Map<number, number> = new Map();
  readonly translations: Map<number, Translation> = new Map();
  readonly dirtyVirtual: Set<number> = new Set();
  readonly dirtyPhysical: Set<number> = new Set();
  enabled = true;

  constructor(layout: Layout) {
    this.layout = layout;
    for (const { start, end } of layout.regions) {
      for (let at = start; at < end; at++) this.content.set(at, 0);
    }
  }

  get base(): number {
    return this.enabled ? this.layout.iovaBase : this.layout.physicalBase;
  }

  /** The bytes of a range up to a hole, or why nothing of it may be accessed. */
  locate(at: number, count: number, needs: Permissions): Located | Outcome {
    if (count === 0) return { physical: [], pieces: [] };
    const range = Array.from({ length: count }, (_, i) => this.#translate(at + i));
    if (this.enabled) {
      if (count > ADDRESS_SPACE_END - this.base - at) return { error: "IommuMisconfigured" };
      const allowed = (byte?: Translation) => byte && Permissions.allow(byte.rights, needs);
      if (!range.every(allowed)) return { error: "IotlbFails" };
    }
    const physical: number[] = [];
    const pieces: number[] = [];
    let previous: Translation | undefined;
    for (const byte of range as Translation[]) {
      const region = this.#region(byte.physical);
      if (region === undefined) break;
      const goesOn = previous !== undefined && byte.physical === previous.physical + 1 &&
        byte.rights === previous.rights && this.#region(previous.physical) === region;
      if (goesOn) pieces[pieces.length - 1]!++;
      else pieces.push(1);
      physical.push(byte.physical);
      previous = byte;
    }
    if (physical.length > 0) return { physical, pieces };
    return { error: "InvalidGuestAddress", address: range[0]!.physical };
  }

  /** Does something with the located bytes, or gives the error. */
  with(
    at: number,
    count: number,
    needs: Permissions,
    use: (located: Located) => Outcome,
  ): Outcome {
    const located = this.locate(at, count, needs);
    return "error" in located ? located : use(located as Located);
  }

  get(physical: readonly number[]): number[] {
    return physical.map((address) => this.content.get(address)!);
  }

  put(at: number, physical: readonly number[], content: readonly number[]): void {
    for (const [i, byte] of content.entries()) {
      this.content.set(physical[i]!, byte);
      this.dirtyPhysical.add(physical[i]!);
      if (this.enabled) this.dirtyVirtual.add(at + i);
    }
  }

  /** Where an integer is in its region, if it may be accessed atomically there. */
  atomic(
    at: number,
    size: number,
    needs: Permissions,
    use: (located: Located) => Outcome,
  ): Outcome {
    return this.with(at, size, needs, (located) => {
      const { start } = this.#region(located.physical[0]!)!;
      const aligned = (located.physical[0]! - start) % size === 0;
      if (located.pieces[0] !== size) return { error: "InvalidBackendAddress" };
      const misaligned = { error: "Misaligned", address: located.physical[0]! - start };
      if (!aligned) return { ...misaligned, alignment: size };
      return use(located);
    });
  }

  #translate(at: number): Translation | undefined {
    if (this.enabled) return this.translations.get(at);
    return { physical: this.base + at, rights: ReadWrite };
  }

  #region(address: number): Region | undefined {
    return this.layout.regions.find(({ start, end }) => address >= start && address < end);
  }
}

/** The memory under test. */
interface Subject {
  readonly memory: IommuMemory;
  readonly tlb: Iotlb;
}

/** An operation on both, with what it gave in each. */
export interface Operation {
  readonly at: number;
  run(memory: IoMemory, addr: GuestAddress, subject: Subject): Outcome;
  expect(model: Model): Outcome;
}

/** An operation that fast-check shows as text. */
export function named(name: string, operation: Operation): Operation {
  return { ...operation, [fc.toStringMethod]: () => `${name} at ${operation.at}` } as Operation;
}

const layouts = new WeakMap<IommuMemory, Layout>();

export function layoutOf(memory: IommuMemory): Layout {
  return layouts.get(memory)!;
}

export function attempt(run: () => Outcome): Outcome {
  try {
    return run();
  } catch (caught) {
    if (!(caught instanceof GuestMemoryError)) throw caught;
    const { name, ...fields } = caught as unknown as Record<string, unknown> & { name: string };
    const { address, alignment, expected, completed, kind } = fields;
    const shown = Object.entries({ address, alignment, expected, completed, kind });
    return { error: name, ...Object.fromEntries(shown.filter(([, value]) => value !== undefined)) };
  }
}

function takeDirty(bitmap: BitmapSlice): number[] {
  const dirty: number[] = [];
  bitmap.forEachDirtyRun(
    (offset, length) => {
      for (let i = 0; i < length; i++) dirty.push(offset + i);
    },
    -bitmap.offset,
    bitmap.bitmap.byteSize,
  );
  bitmap.bitmap.reset();
  return dirty;
}

/**
 * Does operations on translated memory and on the model.
 *
 * @param layout Where memory is.
 * @param operations What is done.
 * @param pageSize The size of pages whose translations are remembered; without, none is.
 */
export function check(layout: Layout, operations: readonly Operation[], pageSize?: number): void {
  const model = new Model(layout);
  const physicalDirty = new AtomicBitmap(4 * SPACE, 1).sliceAt(-layout.physicalBase);
  const virtualDirty = new AtomicBitmap(2 * SPACE, 1).sliceAt(-layout.iovaBase);
  const ranges = layout.regions.map(({ start, end }) =>
    [GuestAddress(start), end - start] as const
  );
  const backend = GuestMemoryHeap.fromRanges(ranges, {
    bitmap: (_length, start) => physicalDirty.sliceAt(start),
  });
  const tlb = new Iotlb();
  const translate: Iommu["translate"] = (iova, length, permissions) =>
    tlb.lookup(iova, length, permissions);
  const memory = pageSize === undefined
    ? new IommuMemory(backend, { translate }, { bitmap: virtualDirty })
    : new IommuMemory(
      backend,
      {
        translate,
        get generation() {
          return tlb.generation;
        },
      },
      { bitmap: virtualDirty, pageSize },
    );
  layouts.set(memory, layout);
  for (const { at, run, expect } of operations) {
    const address = model.base + at;
    if (address >= ADDRESS_SPACE_END) continue;
    const outcome = attempt(() => run(memory, GuestAddress(address), { memory, tlb }));
    assertEquals(outcome, expect(model));
    const { iovaBase } = layout;
    const virtual = [...model.dirtyVirtual].map((at) => iovaBase + at).sort((a, b) => a - b);
    const physical = [...model.dirtyPhysical].sort((a, b) => a - b);
    assertEquals([takeDirty(virtualDirty), takeDirty(physicalDirty)], [virtual, physical]);
    model.dirtyVirtual.clear();
    model.dirtyPhysical.clear();
  }
  for (const [start, length] of ranges) {
    const actual = new Uint8Array(length);
    backend.readSlice(actual, start);
    assertEquals([...actual], Array.from({ length }, (_, i) => model.content.get(start + i)!));
  }
}
