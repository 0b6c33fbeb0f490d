/**
 * Every backing and option that is compared.
 *
 * @module
 */
import {
  Backing,
  GuestAddress,
  GuestMemoryMmap,
  type MmapOptions,
  Permissions,
} from "@vmm/guest-memory";
import type { FileWish } from "./scratch_file.ts";

/** What a mapping is made with. */
export interface Scene {
  /** Its bytes. */
  readonly size: number;
  /** The file to map, where the candidate wishes for one. */
  readonly file: Deno.FsFile | undefined;
  /** Closes something when the mapping is closed. */
  readonly keep: <T extends Disposable>(resource: T) => T;
}

/** A way to get memory. */
export interface Candidate {
  /** Its name in the table. */
  readonly name: string;
  /** The file that it maps. */
  readonly file?: FileWish;
  /** How its pages are touched; by writing if absent. */
  readonly touch?: "read" | "write";
  /** Maps the memory. */
  readonly map: (scene: Scene) => GuestMemoryMmap | Promise<GuestMemoryMmap>;
}

const HUGE_PAGE = 2 ** 21;
const ANONYMOUS = Backing.anonymous();
const SHARED = Backing.anonymous({ shared: true });

/** All of them, in the order of the table. */
export function candidates(): Candidate[] {
  return [
    candidate("anonymous, private", { backing: ANONYMOUS }),
    candidate("anonymous, shared", { backing: SHARED }),
    candidate("memfd, sealed", { backing: Backing.memfd() }),
    candidate("memfd, not sealed", { backing: Backing.memfd({ seal: false }) }),
    ofFile("file on disk, shared", { where: "disk", filled: false }),
    ofFile("file on disk, private", { where: "disk", filled: true }, { private: true }),
    ofFile("file on tmpfs, shared", { where: "tmpfs", filled: false }),
    ofFile("file on tmpfs, private", { where: "tmpfs", filled: true }, { private: true }),
    readOnly("file, shared, read-only", { where: "disk", filled: true }),
    readOnly("file, shared, opened read-only", { where: "disk", filled: true, readOnly: true }),
    readOnly("file, private, read-only", { where: "disk", filled: true, readOnly: true }, {
      private: true,
    }),
    candidate("huge pages, anonymous", { backing: Backing.anonymous({ hugePages: HUGE_PAGE }) }),
    candidate("huge pages, memfd", { backing: Backing.memfd({ hugePages: HUGE_PAGE }) }),
    ...onEach("transparent huge pages", { transparentHugePages: true }, ["anonymous", "memfd"]),
    ...onEach("mergeable", { mergeable: true }, ["anonymous", "memfd"]),
    ...onEach("locked", { lock: true }),
    ...onEach("locked on fault", { lock: "onfault" }),
    ...onEach("prefault", { prefault: true }, ["anonymous", "memfd"]),
    { name: "prefault on the pool, anonymous", map: mapAndPrefault },
    ...onEach("reserve", { reserve: true }, ["anonymous", "memfd"]),
    ofFile("reserve, file on disk", { where: "disk", filled: false }, {}, { reserve: true }),
    onNode(0, "NUMA node 0"),
    onNode(absentNode(), `NUMA node ${absentNode()} (absent)`),
    candidate("guard pages", { guardPages: true }),
    candidate("dontDump", { dontDump: true }),
    candidate("dontFork", { dontFork: true }),
    { name: "foreign mapping", map: mapForeign },
  ];
}

const STORES = { "anonymous": ANONYMOUS, "anonymous shared": SHARED, "memfd": Backing.memfd() };

function onEach(
  option: string,
  options: MmapOptions,
  stores: readonly (keyof typeof STORES)[] = ["anonymous", "anonymous shared", "memfd"],
): Candidate[] {
  return stores.map((store) =>
    candidate(`${option}, ${store}`, { ...options, backing: STORES[store] })
  );
}

function candidate(name: string, options: MmapOptions): Candidate {
  return { name, map: ({ size }) => mapped(size, options) };
}

function ofFile(
  name: string,
  wish: FileWish,
  ofBacking: { readonly private?: boolean } = {},
  options: MmapOptions = {},
): Candidate {
  const map = ({ size, file }: Scene) =>
    mapped(size, { ...options, backing: Backing.file(file!, ofBacking) });
  return { name, file: wish, map };
}

function readOnly(
  name: string,
  wish: FileWish,
  ofBacking: { readonly private?: boolean } = {},
): Candidate {
  const options = { protection: Permissions.Read };
  return { ...ofFile(name, wish, ofBacking, options), touch: "read" };
}

function onNode(node: number, name: string): Candidate {
  return candidate(name, { numa: { nodes: [node], policy: "bind" } });
}

async function mapAndPrefault({ size, keep }: Scene): Promise<GuestMemoryMmap> {
  const memory = keep(mapped(size, {}));
  await memory.prefault();
  return memory;
}

function mapForeign({ size, keep }: Scene): GuestMemoryMmap {
  const owner = keep(mapped(size, {}));
  const { hostAddress } = owner.describe()[0]!;
  return mapped(size, { backing: Backing.foreign(BigInt(hostAddress)) });
}

function mapped(size: number, options: MmapOptions): GuestMemoryMmap {
  return GuestMemoryMmap.fromRanges([[GuestAddress(0), size]], options);
}

const LAST_NODE = 1023;

// The number after the last node that this machine can have.
function absentNode(): number {
  try {
    const possible = Deno.readTextFileSync("/sys/devices/system/node/possible");
    const last = Number(/(\d+)\s*$/.exec(possible)?.[1] ?? LAST_NODE);
    return Math.min(last + 1, LAST_NODE);
  } catch {
    // Without the file, or the permission to read it, the highest number will do.
    return LAST_NODE;
  }
}
