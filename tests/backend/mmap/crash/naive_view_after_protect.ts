import { mapNaively } from "./naive_memory.ts";

const { symbols } = Deno.dlopen("libc.so.6", {
  mprotect: { parameters: ["usize", "usize", "i32"], result: "i32" },
});
const { view } = mapNaively(3);
view[0] = 7;
console.log(view[0]);
const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(view as Uint8Array<ArrayBuffer>));
symbols.mprotect(BigInt(address), 4096n, 0);
console.log(view[0]);
