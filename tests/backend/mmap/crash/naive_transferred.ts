import { mapNaively } from "./naive_memory.ts";

const { view, unmap } = mapNaively(3);
view[0] = 7;
const moved = new Uint8Array((view.buffer as ArrayBuffer).transfer());
console.log(moved[0]);
unmap();
console.log(moved[0]);
