/**
 * The operations on a memory and on its regions.
 *
 * @module
 */
import { HostAddressNotAvailable, stopOnError } from "@vmm/guest-memory";
import type { AtomicBitmap, VolatileSlice } from "@vmm/guest-memory";
import { BYTES } from "./bytes_player.ts";
import { failure, outcomeOf } from "./outcome.ts";
import type { Mark, Operations, Player, Scene } from "./player.ts";
import { SlicePlayer } from "./slice_player.ts";
import { guestAddressOf, integer, type Json, type JsonObject, listOf } from "./trace.ts";
import { numberOf, type Operation, regionAddressOf } from "./trace.ts";
import { type Backend, listRegions, type Piece, wordRuns, World } from "./world.ts";

type Args = readonly Json[];

/** Plays a layout of the kind `memory`. */
export class MemoryPlayer implements Player, Scene {
  readonly world: World;
  readonly #slices: SlicePlayer;
  readonly #operations: Operations;

  /** Sets the layout up. */
  constructor(setup: JsonObject, backend: Backend) {
    this.world = new World(setup, backend);
    this.#slices = new SlicePlayer(this.world);
    this.#operations = {
      ...memoryOperations(this.world),
      ...regionOperations(this.world),
      ...stateOperations(this.world),
    };
  }

  /** The layout itself. */
  get scene(): Scene {
    return this;
  }

  /** Performs an operation. */
  play({ name, args }: Operation): JsonObject {
    try {
      const own = this.#operations[name];
      if (own !== undefined) return own(args);
      const [level, method = ""] = name.split(".");
      const bytes = BYTES[method];
      if (level === "m" && bytes !== undefined) {
        return bytes(this.world.memory, guestAddressOf(args[0]), args.slice(1));
      }
      if (level === "r" && bytes !== undefined) {
        return bytes(this.world.region(args[0]), regionAddressOf(args[1]), args.slice(2));
      }
      return this.#slices.play(method, args);
    } catch (error) {
      return failure(error);
    }
  }

  /** Dirty pages of all regions. */
  dirty(): Json {
    return this.world.dirtyPages;
  }

  /** The content. */
  end(): JsonObject {
    return { sha256: this.world.sha256() };
  }

  /** Unmaps the memory. */
  [Symbol.dispose](): void {
    this.world[Symbol.dispose]();
  }

  /** The regions' bitmaps. */
  get bitmaps(): readonly AtomicBitmap[] {
    return this.world.bitmaps;
  }

  /** The stretches that an access goes over. */
  pieces({ name, args }: Operation, count: number): Piece[] {
    if (name.startsWith("m.")) return this.world.pieces(numberOf(args[0]), count);
    const whole = name.startsWith("r.")
      ? { k: numberOf(args[0]), offset: 0, length: this.world.region(args[0]).len }
      : this.world.locate(this.#slices.resolve(args[0]));
    const offset = numberOf(args[1]);
    const length = Math.min(count, whole.length - offset);
    return length > 0 ? [{ k: whole.k, offset: whole.offset + offset, length }] : [];
  }

  /** What of the regions' bitmaps an access marks. */
  marks(operation: Operation, length: number): Mark[] {
    if (this.bitmaps.length === 0) return [];
    return this.pieces(operation, length)
      .map((piece) => ({ ...piece, bitmap: this.bitmaps[piece.k]! }));
  }
}

function memoryOperations(world: World): Operations {
  const { memory } = world;
  return {
    "m.check_range": ([addr, length]) =>
      outcomeOf(() => memory.checkRange(guestAddressOf(addr), numberOf(length))),
    "m.checked_offset": ([addr, offset]) =>
      outcomeOf(() => memory.checkedOffset(guestAddressOf(addr), numberOf(offset))),
    "m.to_region_addr": ([addr]) =>
      outcomeOf(() => {
        const found = memory.toRegionAddr(guestAddressOf(addr));
        return found && [world.indexOf(found[0]), found[1]];
      }),
    "m.find_region": ([addr]) =>
      outcomeOf(() => {
        const region = memory.findRegion(guestAddressOf(addr));
        return region && world.indexOf(region);
      }),
    "m.address_in_range": ([addr]) => outcomeOf(() => memory.addressInRange(guestAddressOf(addr))),
    "m.check_address": ([addr]) => outcomeOf(() => memory.checkAddress(guestAddressOf(addr))),
    "m.last_addr": () => outcomeOf(() => memory.lastAddr),
    "m.num_regions": () => outcomeOf(() => memory.numRegions),
    "m.regions": () => outcomeOf(() => listRegions(memory)),
    "m.get_host_address": ([addr]) =>
      outcomeOf(() => world.locateHost(memory.getHostAddress(guestAddressOf(addr)))),
    "m.get_slice": ([addr, count]) =>
      outcomeOf(() => memory.getSlice(guestAddressOf(addr), numberOf(count)).len),
    "m.get_slices": ([addr, count]) =>
      listSlices(world, memory.getSlices(guestAddressOf(addr), numberOf(count))),
    "m.get_slices_stop_on_error": ([addr, count]) =>
      outcomeOf(() => {
        const slices = memory.getSlices(guestAddressOf(addr), numberOf(count));
        return Array.from(stopOnError(slices), (slice) => placeOf(world, slice));
      }),
    "m.try_access": (args) => tryAccess(world, args),
  };
}

/** What a range of slices comes to: those before the first error, and that error. */
export function listSlices(world: World, slices: Iterable<VolatileSlice>): JsonObject {
  const ok: Json[] = [];
  const outcome = outcomeOf(() => {
    for (const slice of slices) ok.push(placeOf(world, slice));
  });
  return "err" in outcome ? { ok, then: outcome } : { ok };
}

function placeOf(world: World, slice: VolatileSlice): Json {
  const { k, offset, length } = world.locate(slice);
  return [k, offset, length];
}

function tryAccess(world: World, [count, addr, script]: Args): JsonObject {
  const answers = listOf(script);
  const calls: Json[] = [];
  const outcome = outcomeOf(() =>
    world.memory.tryAccess(
      numberOf(count),
      guestAddressOf(addr),
      (total, length, offset, region) => {
        const answer = answers[calls.length] ?? "all";
        calls.push([integer(total), length, offset, world.indexOf(region)]);
        if (answer === "error") throw new HostAddressNotAvailable();
        return answer === "all" ? length : numberOf(answer);
      },
    )
  );
  return { ...outcome, calls };
}

function regionOperations(world: World): Operations {
  return {
    "r.get_slice": ([k, offset, count]) =>
      outcomeOf(() => world.region(k).getSlice(regionAddressOf(offset), numberOf(count)).len),
    "r.check_address": ([k, offset]) =>
      outcomeOf(() => world.region(k).checkAddress(regionAddressOf(offset))),
    "r.checked_offset": ([k, offset, more]) =>
      outcomeOf(() => world.region(k).checkedOffset(regionAddressOf(offset), numberOf(more))),
    "r.to_region_addr": ([k, addr]) =>
      outcomeOf(() => world.region(k).toRegionAddr(guestAddressOf(addr))),
    "r.address_in_range": ([k, offset]) =>
      outcomeOf(() => world.region(k).addressInRange(regionAddressOf(offset))),
    "r.get_host_address": ([k, offset]) =>
      outcomeOf(() => {
        const region = world.region(k);
        const host = region.getHostAddress(regionAddressOf(offset));
        return Number(host - region.getHostAddress(regionAddressOf(0)));
      }),
    "r.len": ([k]) => outcomeOf(() => world.region(k).len),
    "r.start_addr": ([k]) => outcomeOf(() => world.region(k).startAddr),
    "r.last_addr": ([k]) => outcomeOf(() => world.region(k).lastAddr),
    "r.dirty_at": ([k, offset]) =>
      outcomeOf(() => world.region(k).bitmap.dirtyAt(numberOf(offset))),
    "r.mark_dirty": ([k, offset, length]) =>
      outcomeOf(() => world.region(k).bitmap.markDirty(numberOf(offset), numberOf(length))),
    "r.reset_addr_range": ([k, offset, length]) =>
      outcomeOf(() =>
        world.bitmaps[numberOf(k)]!.resetAddrRange(numberOf(offset), numberOf(length))
      ),
    "r.take_dirty": ([k]) => outcomeOf(() => wordRuns(world.bitmaps[numberOf(k)]!.getAndReset())),
  };
}

function stateOperations(world: World): Operations {
  return {
    reset_dirty: () => outcomeOf(() => world.resetDirty()),
    dirty: () => ({ ok: world.dirtyRuns() }),
    hash: () => ({ ok: world.digest() }),
  };
}
