/**
 * Views across the boundary of two mappings that are adjacent in the host: with one, an access
 * across the boundary is one access. Everything about them is in this file.
 *
 * @module
 */
import { boundaryWindow, HostMemory } from "../../host/host_memory.ts";

/** A view across a boundary. The memories on its two sides own the bytes. */
interface BoundaryView {
  // Not a separate class: call sites that see both classes would be slower in V8.
  readonly memory: AdjacentMemory;
  readonly first: AdjacentMemory;
  readonly second: AdjacentMemory;
}

// By the buffer of the view: as long as any typed array over it is reachable, so are the memories
// that own its bytes (rule 3).
const boundaryViews = new WeakMap<ArrayBufferLike, BoundaryView>();

/** Host memory at a fixed address, which may be adjacent to other such memory. */
export abstract class AdjacentMemory extends HostMemory {
  readonly #length: number = this.u8.length;
  // The buffers of views across this memory's two boundaries. Weak: a strong reference would keep
  // an unreachable neighbour mapped.
  #views: readonly WeakRef<ArrayBufferLike>[] = [];

  /** The host address of byte 0. */
  abstract readonly address: number;

  /** Memory over a range of host memory that other objects own. */
  protected abstract viewAt(address: number, length: number): AdjacentMemory;

  /** Refuses every access, and empties every typed array over the memory. */
  protected abstract empty(): void;

  /** Memory over the end of this one and the start of another. */
  override boundaryView(next: HostMemory): HostMemory | undefined {
    if (!(next instanceof AdjacentMemory) || next.address !== this.address + this.#length) {
      return undefined;
    }
    const known = this.#openViews().find(({ first, second }) => first === this && second === next);
    if (known !== undefined) return known.memory;
    const sides = [this, next];
    if (sides.some((side) => !side.canRead(0, 1) || !side.canWrite(0, 1))) return undefined;
    const before = boundaryWindow(this.#length);
    const memory = this.viewAt(next.address - before, before + boundaryWindow(next.#length));
    boundaryViews.set(memory.buffer, { memory, first: this, second: next });
    for (const side of sides) {
      const buffers = [...side.#openViews().map(({ memory }) => memory.buffer), memory.buffer];
      side.#views = buffers.map((buffer) => new WeakRef(buffer));
    }
    return memory;
  }

  /** The two memories that own the bytes, where this is a boundary view. */
  protected get sides(): readonly AdjacentMemory[] {
    const view = boundaryViews.get(this.buffer);
    return view === undefined ? [] : [view.first, view.second];
  }

  /** Empties the views across this memory's boundaries. */
  protected emptyBoundaryViews(): void {
    for (const { memory } of this.#openViews()) memory.empty();
  }

  #openViews(): BoundaryView[] {
    const views: BoundaryView[] = [];
    for (const ref of this.#views) {
      const buffer = ref.deref();
      const view = buffer && boundaryViews.get(buffer);
      if (view !== undefined && !view.memory.closed) views.push(view);
    }
    return views;
  }
}
