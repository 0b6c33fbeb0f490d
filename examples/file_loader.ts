/**
 * Loads a file into guest memory, without a copy on JavaScript's heap, and refuses one that does not
 * fit. Run it with `deno run --allow-ffi --allow-read examples/file_loader.ts [FILE]`.
 *
 * @module
 */
import { GuestAddress, type GuestMemory, GuestMemoryMmap } from "@vmm/guest-memory";

const LOAD_ADDRESS = GuestAddress(0x10_0000);

/**
 * Loads all of a file.
 *
 * @param memory The memory.
 * @param address Where the first byte goes.
 * @param path The file.
 * @returns Its size in bytes.
 */
function loadFile(memory: GuestMemory, address: GuestAddress, path: string): number {
  using file = Deno.openSync(path);
  const { size } = file.statSync();
  // Nothing of a file is loaded that does not fit.
  if (!memory.checkRange(address, size)) {
    throw new RangeError(`Cannot load ${size} bytes at 0x${address.toString(16)}: no room`);
  }
  // Throws a PartialBuffer where the file has become shorter: never a silent part of it.
  memory.readExactVolatileFrom(address, file, size);
  return size;
}

const path = Deno.args[0] ?? import.meta.filename!;
{
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 30]]);
  const size = loadFile(memory, LOAD_ADDRESS, path);
  const start = new Uint8Array(Math.min(size, 16));
  memory.readSlice(start, LOAD_ADDRESS);
  console.log(`Loaded ${size} bytes at 0x${LOAD_ADDRESS.toString(16)}`);
  console.log(`The first ones: ${start.toHex().replaceAll(/..\B/g, "$& ")}`);
}
{
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x10_0000 + 64]]);
  try {
    loadFile(memory, LOAD_ADDRESS, path);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    console.log(`With 64 bytes of room: ${error.message}`);
  }
}
