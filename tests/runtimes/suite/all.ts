/**
 * The suite for runtimes with FFI.
 *
 * @module
 */
import process from "node:process";
import { runCases } from "./case.ts";
import { heapCases } from "./heap_cases.ts";
import { linuxCases, mappedCases } from "./mapped_cases.ts";
import { report } from "./report.ts";

const ofThisSystem = process.platform === "linux" ? linuxCases : [];
report(await runCases([...heapCases, ...mappedCases, ...ofThisSystem]));
