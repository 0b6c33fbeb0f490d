/**
 * The operations on a published collection, and on snapshots that are held across publications.
 *
 * @module
 */
import {
  GuestMemoryAtomic,
  type GuestMemoryExclusiveGuard,
  GuestRegionCollection,
} from "@vmm/guest-memory";
import type { BareCollection } from "./bare_region.ts";
import { type Json, type JsonObject, numberOf } from "./trace.ts";
import { listRegions } from "./world.ts";

/** A collection with a reference, and how that is released. */
interface Held {
  readonly memory: BareCollection;
  close(): void;
}

/** A published collection, and the snapshots that are held of it, by their slots. */
export class Published implements Disposable {
  readonly #space: GuestMemoryAtomic<BareCollection> = new GuestMemoryAtomic(
    new GuestRegionCollection(),
  );
  readonly #held = new Map<number, Held>();

  /** Performs an operation. */
  play(name: string, [json]: readonly Json[], current: BareCollection): JsonObject {
    const slot = json === undefined ? -1 : numberOf(json);
    switch (name) {
      case "g.memory":
        return this.#hold(slot, this.#space.memory());
      case "g.memory_into_inner": {
        using guard = this.#space.memory();
        const { memory } = guard;
        memory.retain();
        return this.#hold(slot, { memory, close: () => memory.release() });
      }
      case "g.lock_replace": {
        using exclusive = this.#lock();
        // A separate collection: the one that is published is closed by the next.
        exclusive.replace(new GuestRegionCollection([...current]));
        return { ok: null };
      }
      case "g.lock_drop":
        this.#lock().close();
        return { ok: null };
      case "g.now": {
        using guard = this.#space.memory();
        return { ok: listRegions(guard.memory) };
      }
      case "g.held": {
        const held = this.#held.get(slot);
        return { ok: held === undefined ? null : listRegions(held.memory) };
      }
      case "g.release":
        this.#release(slot);
        return { ok: null };
      default:
        throw new TypeError(`Cannot read the trace: there is no operation ${name}`);
    }
  }

  /** Releases all collections. */
  [Symbol.dispose](): void {
    for (const slot of [...this.#held.keys()]) this.#release(slot);
    this.#space.close();
  }

  #hold(slot: number, held: Held): JsonObject {
    this.#release(slot);
    this.#held.set(slot, held);
    return { ok: listRegions(held.memory) };
  }

  #release(slot: number): void {
    this.#held.get(slot)?.close();
    this.#held.delete(slot);
  }

  #lock(): GuestMemoryExclusiveGuard<BareCollection> {
    const exclusive = this.#space.tryLock();
    if (exclusive === undefined) throw new Error("the lock is held, though nobody holds it");
    return exclusive;
  }
}
