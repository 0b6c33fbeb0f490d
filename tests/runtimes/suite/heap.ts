/**
 * The suite for runtimes without FFI.
 *
 * @module
 */
import { runCases } from "./case.ts";
import { heapCases, withoutFfiCases } from "./heap_cases.ts";
import { report } from "./report.ts";

report(await runCases([...heapCases, ...withoutFfiCases]));
