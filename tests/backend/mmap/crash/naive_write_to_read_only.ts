import { mapNaively } from "./naive_memory.ts";

const { view } = mapNaively(1);
console.log(view[0]);
view[0] = 7;
console.log(view[0]);
