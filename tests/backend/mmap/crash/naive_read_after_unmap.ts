import { mapNaively } from "./naive_memory.ts";

const { view, unmap } = mapNaively(3);
view[0] = 7;
console.log(view[0]);
unmap();
console.log(view[0]);
