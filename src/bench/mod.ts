/**
 * A benchmark of memory: the same accesses on backends of your own, beside those of this library.
 *
 * It is a program, and a function:
 *
 * ```sh
 * deno run --allow-ffi --allow-read jsr:@vmm/guest-memory/bench --backend ./mine.ts
 * ```
 *
 * The file's default export is a {@linkcode Backend}, or several in an array. `--help` shows the
 * options of the program.
 *
 * | Item | What it is |
 * | --- | --- |
 * | {@linkcode Backend} | a kind of memory: a name, and a function that makes it |
 * | {@linkcode BUILT_IN} | the kinds of this library |
 * | {@linkcode benchmark} | measures kinds, and returns a row for each access of each |
 *
 * @module
 */
export { type Backend, BackendError } from "./backend.ts";
export { benchmark, type BenchmarkOptions, type BenchmarkRow } from "./benchmark.ts";
export { BUILT_IN } from "./built_in.ts";

// Not awaited: a backend's file may import this module, and would wait for it then, and it for the
// file.
if (import.meta.main) import("./program/main.ts").then(({ main }) => main());
