/**
 * Views across the boundary of two mappings that are adjacent in the host: with one, an access
 * across the boundary is one access.
 *
 * @module
 */
import type { HostMemory } from "../../host/host_memory.ts";

/** A view across a boundary. The memories on its two sides own the bytes. */
interface BoundaryView<M> {
  // Not a separate class of memory: call sites that see both classes would be slower in V8.
  readonly memory: M;
  readonly sides: readonly [M, M];
}

// By the buffer of the view: as long as any typed array over it is reachable, so are the memories
// that own its bytes (rule 3).
const viewsByBuffer = new WeakMap<ArrayBufferLike, BoundaryView<HostMemory>>();

/** The views across the boundaries of one memory. */
export class BoundaryViews<M extends HostMemory> {
  // Weak: a strong reference would keep an unreachable neighbour mapped.
  #buffers: readonly WeakRef<ArrayBufferLike>[] = [];

  /** The views that are reachable, closed ones and those whose buffer was transferred too. */
  get all(): M[] {
    return this.#all().map(({ memory }) => memory);
  }

  /**
   * The view across the boundary of two memories, made when it is first needed.
   *
   * @param sides The two memories.
   * @param views The views of each.
   * @param make Makes memory over the end of the first and the start of the second, in a buffer.
   */
  static between<M extends HostMemory>(
    sides: readonly [M, M],
    views: readonly [BoundaryViews<M>, BoundaryViews<M>],
    make: () => readonly [M, ArrayBufferLike],
  ): M {
    const known = views[0].#all().find((view) => view.sides[1] === sides[1] && !view.memory.closed);
    if (known !== undefined) return known.memory;
    const [memory, buffer] = make();
    viewsByBuffer.set(buffer, { memory, sides });
    const added = new WeakRef(buffer);
    for (const side of views) {
      const reachable = side.#buffers.filter((ref) => ref.deref() !== undefined);
      side.#buffers = [...reachable, added];
    }
    return memory;
  }

  /** The two memories that own the bytes of a buffer, where it is that of a boundary view. */
  static sidesOf<M extends HostMemory>(buffer: ArrayBufferLike): readonly M[] {
    return (viewsByBuffer.get(buffer)?.sides ?? []) as readonly M[];
  }

  #all(): BoundaryView<M>[] {
    const views: BoundaryView<M>[] = [];
    for (const ref of this.#buffers) {
      const buffer = ref.deref();
      const view = buffer && viewsByBuffer.get(buffer) as BoundaryView<M> | undefined;
      if (view !== undefined) views.push(view);
    }
    return views;
  }
}
