/** Host memory as a program without this library has it: mapped, and viewed by V8. */
const { symbols } = Deno.dlopen("libc.so.6", {
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
  munmap: { parameters: ["usize", "usize"], result: "i32" },
});

const SIZE = 4096;
const MAP_PRIVATE_ANONYMOUS = 0x22;

/** Maps a page with some protection and gives a view of it, and the way to unmap it. */
export function mapNaively(protection: number): { view: Uint8Array; unmap: () => number } {
  const address = symbols.mmap(0n, BigInt(SIZE), protection, MAP_PRIVATE_ANONYMOUS, -1, 0n);
  const pointer = Deno.UnsafePointer.create(address);
  if (pointer === null) throw new Error("mmap failed");
  return {
    view: new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, SIZE)),
    unmap: () => symbols.munmap(address, BigInt(SIZE)),
  };
}
