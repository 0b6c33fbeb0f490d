/**
 * The operations on translated memory, and on the IOTLB that translates it.
 *
 * @module
 */
import {
  AtomicBitmap,
  CannotResolve,
  type Iommu,
  IommuError,
  IommuMemory,
  Iotlb,
  Permissions,
} from "@vmm/guest-memory";
import { BYTES } from "./bytes_player.ts";
import { listSlices } from "./memory_player.ts";
import { failure, outcomeOf } from "./outcome.ts";
import { PhysicalMarks } from "./physical_marks.ts";
import type { Mark, Operations, Player, Scene } from "./player.ts";
import { flagOf, guestAddressOf, integer, type Json, type JsonObject } from "./trace.ts";
import { listOf, numberOf, objectOf, type Operation, textOf } from "./trace.ts";
import { type Backend, pageRuns, type Piece, World } from "./world.ts";

/** Plays a layout of the kind `iommu`. */
export class IommuPlayer implements Player, Scene {
  readonly world: World;
  readonly bitmaps: readonly AtomicBitmap[];
  readonly physicalMarks: PhysicalMarks;
  readonly #tlb = new Iotlb();
  readonly #bitmap: AtomicBitmap;
  readonly #memory: IommuMemory;
  readonly #operations: Operations;

  /** Sets the layout up. */
  constructor(setup: JsonObject, backend: Backend) {
    this.world = new World(setup, backend);
    const { byteSize, page } = objectOf(setup["iova"]);
    this.#bitmap = new AtomicBitmap(numberOf(byteSize), numberOf(page));
    this.bitmaps = [...this.world.bitmaps, this.#bitmap];
    this.physicalMarks = new PhysicalMarks(this.world.bitmaps);
    this.#memory = new IommuMemory(this.world.memory, tlbOnly(this.#tlb), {
      bitmap: this.#bitmap,
      enabled: flagOf(setup["enabled"]),
    });
    this.#operations = {
      ...tlbOperations(this.#tlb),
      ...this.#memoryOperations(),
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
      const bytes = BYTES[name.slice("v.".length)];
      if (bytes === undefined) throw new TypeError(`there is no operation ${name}`);
      return bytes(this.#memory, guestAddressOf(args[0]), args.slice(1));
    } catch (error) {
      return failure(error);
    }
  }

  /** Dirty pages of all regions, and of the I/O virtual space. */
  dirty(): Json {
    return [this.world.dirtyPages, this.#bitmap.dirtyPages];
  }

  /** The content. */
  end(): JsonObject {
    return { sha256: this.world.sha256() };
  }

  /** Unmaps the memory. */
  [Symbol.dispose](): void {
    this.world[Symbol.dispose]();
  }

  /** The stretches that an access goes over, given that its translation succeeds. */
  pieces({ args: [iova] }: Operation, count: number): Piece[] {
    if (!this.#memory.enabled) return this.world.pieces(numberOf(iova), count);
    const pieces: Piece[] = [];
    for (const { base, length } of this.#tlb.lookup(guestAddressOf(iova), count, Permissions.No)) {
      const found = this.world.pieces(base, length);
      pieces.push(...found);
      if (found.reduce((sum, piece) => sum + piece.length, 0) < length) break;
    }
    return pieces;
  }

  /** What an access marks: the regions, and the I/O virtual space if addresses are translated. */
  marks(operation: Operation, length: number): Mark[] {
    const marks: Mark[] = this.pieces(operation, length)
      .map((piece) => ({ ...piece, bitmap: this.world.bitmaps[piece.k]! }));
    if (this.#memory.enabled) {
      marks.push({ bitmap: this.#bitmap, offset: numberOf(operation.args[0]), length });
    }
    return marks;
  }

  #memoryOperations(): Operations {
    const { world } = this;
    const memory = this.#memory;
    return {
      "v.check_range": ([iova, length, access]) =>
        outcomeOf(() =>
          memory.checkRange(guestAddressOf(iova), numberOf(length), permissionsOf(access))
        ),
      "v.get_slices": ([iova, length, access]) => {
        const outcome = listSlices(
          world,
          memory.getSlices(guestAddressOf(iova), numberOf(length), permissionsOf(access)),
        );
        // Where the crate fails as a whole, the iteration here fails before the first slice.
        const { ok, then } = outcome;
        const failed = then !== undefined && objectOf(then)["err"] === "IommuError";
        return failed && listOf(ok).length === 0 ? objectOf(then) : outcome;
      },
      "v.set_iommu_enabled": ([enabled]) => {
        memory.enabled = flagOf(enabled);
        return { ok: null };
      },
      reset_dirty: () => {
        for (const bitmap of this.bitmaps) bitmap.reset();
        return { ok: null };
      },
      dirty: () => ({ ok: { regions: world.dirtyRuns(), iova: pageRuns(this.#bitmap) } }),
      hash: () => ({ ok: world.digest() }),
    };
  }
}

function tlbOperations(tlb: Iotlb): Operations {
  return {
    "t.set_mapping": ([iova, addr, length, permissions]) =>
      outcomeOf(() =>
        tlb.setMapping(
          guestAddressOf(iova),
          guestAddressOf(addr),
          numberOf(length),
          permissionsOf(permissions),
        )
      ),
    "t.invalidate_mapping": ([iova, length]) =>
      outcomeOf(() => tlb.invalidateMapping(guestAddressOf(iova), numberOf(length))),
    "t.invalidate_all": () => outcomeOf(() => tlb.invalidateAll()),
    "t.lookup": ([iova, length, access]) =>
      outcomeOf(() =>
        tlb.lookup(guestAddressOf(iova), numberOf(length), permissionsOf(access))
          .map((range) => [integer(range.base), integer(range.length)])
      ),
  };
}

/** The simplest IOMMU: what its IOTLB does not hold cannot be resolved. */
function tlbOnly(tlb: Iotlb): Iommu {
  return {
    translate(iova, length, permissions) {
      try {
        return tlb.lookup(iova, length, permissions);
      } catch (error) {
        if (!(error instanceof IommuError)) throw error;
        throw new CannotResolve({ base: iova, length }, "it is not in the IOTLB");
      }
    },
  };
}

function permissionsOf(json: Json | undefined): Permissions {
  const permissions = PERMISSIONS.get(textOf(json));
  if (permissions === undefined) throw new TypeError(`Cannot read the trace: permission ${json}`);
  return permissions;
}

const PERMISSIONS: ReadonlyMap<string, Permissions> = new Map([
  ["no", Permissions.No],
  ["r", Permissions.Read],
  ["w", Permissions.Write],
  ["rw", Permissions.ReadWrite],
]);
