/**
 * A program that waits for a command before it does something for the first time, so that its start
 * is not measured: reads a byte from stdin, does it, writes a byte to stdout, and so on to the end of
 * stdin.
 *
 * What it does is its argument: `nothing`, `import` of the module, or `map`, which has it imported
 * before and maps 1 GiB.
 *
 * @module
 */
const [what] = Deno.args;

const importModule = () => import("@vmm/guest-memory");
const loaded = what === "map" ? await importModule() : undefined;
const byte = new Uint8Array(1);

// Once each for nothing: reading and writing for the first time takes time too.
Deno.stdout.writeSync(byte);
Deno.stdin.readSync(byte);

if (what === "import") await importModule();
if (loaded !== undefined) {
  const { GuestAddress, GuestMemoryMmap, u32 } = loaded;
  const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 30]]);
  memory.writeObj(u32, 1, GuestAddress(0x1000));
}
Deno.stdout.writeSync(byte);
