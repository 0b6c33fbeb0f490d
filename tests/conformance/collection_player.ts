/**
 * The operations on collections of regions, and on the one that is published.
 *
 * @module
 */
import { GuestMemoryMmap, GuestRegionCollection } from "@vmm/guest-memory";
import { type BareCollection, BareRegion } from "./bare_region.ts";
import { failure, outcomeOf } from "./outcome.ts";
import { pattern, untouched } from "./pattern.ts";
import type { Operations, Player } from "./player.ts";
import { Published } from "./published.ts";
import { guestAddressOf, type Json, type JsonObject, listOf } from "./trace.ts";
import { numberOf, type Operation, regionAddressOf } from "./trace.ts";
import { listRegions, rangeOf } from "./world.ts";

/** Plays a layout of the kind `collection`. */
export class CollectionPlayer implements Player {
  #current: BareCollection = new GuestRegionCollection();
  readonly #published = new Published();
  readonly #operations: Operations;

  /** Sets the layout up. */
  constructor() {
    this.#operations = { ...this.#changes(), ...this.#questions() };
  }

  /** Performs an operation. */
  play({ name, args }: Operation): JsonObject {
    try {
      const own = this.#operations[name];
      return own === undefined ? this.#published.play(name, args, this.#current) : own(args);
    } catch (error) {
      return failure(error);
    }
  }

  /** There are no bitmaps. */
  dirty(): Json {
    return null;
  }

  /** The current collection. */
  end(): JsonObject {
    return { regions: listRegions(this.#current) };
  }

  /** Closes all collections. */
  [Symbol.dispose](): void {
    this.#current.close();
    this.#published[Symbol.dispose]();
  }

  #replace(made: BareCollection): Json {
    this.#current.close();
    this.#current = made;
    return listRegions(made);
  }

  #changes(): Operations {
    return {
      "c.from_regions": ([ranges]) =>
        outcomeOf(() => {
          const regions = listOf(ranges).map(toRegion);
          return this.#replace(GuestRegionCollection.fromRegions(regions));
        }),
      "c.insert_region": (range) =>
        outcomeOf(() => this.#replace(this.#current.insertRegion(toRegion(range)))),
      "c.remove_region": ([start, length]) =>
        outcomeOf(() => {
          const removed = this.#current.removeRegion(guestAddressOf(start), numberOf(length));
          return [this.#replace(removed[0]), rangeOf(removed[1])];
        }),
      "c.mmap_from_ranges": ([ranges]) =>
        outcomeOf(() => {
          using memory = GuestMemoryMmap.fromRanges(
            listOf(ranges).map((range) => {
              const [start, size] = listOf(range);
              return [guestAddressOf(start), numberOf(size)] as const;
            }),
          );
          return listRegions(memory);
        }),
    };
  }

  #questions(): Operations {
    const indexOf = (region: BareRegion) => [...this.#current].indexOf(region);
    const first = () => [...this.#current][0]!;
    return {
      "c.find_region": ([addr]) =>
        outcomeOf(() => {
          const region = this.#current.findRegion(guestAddressOf(addr));
          return region && indexOf(region);
        }),
      "c.to_region_addr": ([addr]) =>
        outcomeOf(() => {
          const found = this.#current.toRegionAddr(guestAddressOf(addr));
          return found && [indexOf(found[0]), found[1]];
        }),
      "c.checked_offset": ([addr, offset]) =>
        outcomeOf(() => this.#current.checkedOffset(guestAddressOf(addr), numberOf(offset))),
      "c.address_in_range": ([addr]) =>
        outcomeOf(() => this.#current.addressInRange(guestAddressOf(addr))),
      "c.last_addr": () => outcomeOf(() => this.#current.lastAddr),
      "c.num_regions": () => outcomeOf(() => this.#current.numRegions),
      "c.get_host_address": ([addr]) =>
        outcomeOf(() => String(this.#current.getHostAddress(guestAddressOf(addr)))),
      "c.get_slice": ([addr, count]) =>
        outcomeOf(() => this.#current.getSlice(guestAddressOf(addr), numberOf(count)).len),
      "c.read": ([addr, length]) =>
        outcomeOf(() => this.#current.read(untouched(numberOf(length)), guestAddressOf(addr))),
      "c.write": ([addr, seed, length]) =>
        outcomeOf(() =>
          this.#current.write(pattern(numberOf(seed), numberOf(length)), guestAddressOf(addr))
        ),
      "c.first_read": ([offset, length]) =>
        outcomeOf(() => first().read(untouched(numberOf(length)), regionAddressOf(offset))),
      "c.first_last_addr": () => outcomeOf(() => first().lastAddr),
    };
  }
}

function toRegion(range: Json): BareRegion {
  const [start, length] = listOf(range);
  return new BareRegion(guestAddressOf(start), numberOf(length));
}
