/**
 * Checks the structure of the workflows and of the forms for issues, which run on the host only.
 * Names of tasks are the matter of ./check_tasks.ts.
 *
 *     deno run --allow-read --allow-env tests/support/check_workflows.ts
 *
 * @module
 */
import { LineCounter, parseDocument } from "yaml";
import { type Problem, readTree, report } from "./tree.ts";

type Mapping = Readonly<Record<string, unknown>>;

const WORKFLOW_KEYS = "name run-name on permissions env defaults concurrency jobs";
const JOB_KEYS = "name needs if permissions runs-on strategy timeout-minutes env defaults steps " +
  "environment concurrency outputs services container continue-on-error";
const STEP_KEYS = "name id if uses with run env shell working-directory timeout-minutes " +
  "continue-on-error";
const FORM_KEYS = "name description title labels assignees body";
const INPUTS = ["input", "textarea", "dropdown", "checkboxes"];

/**
 * Checks the workflows and forms among some files.
 *
 * @param files The files of `.github`, by path.
 */
export function checkWorkflows(files: ReadonlyMap<string, string>): Problem[] {
  return [...files].flatMap(([file, text]) => {
    const lines = new LineCounter();
    const document = parseDocument(text, { lineCounter: lines });
    const wrong = [...document.errors, ...document.warnings];
    if (wrong.length > 0) {
      return wrong.map(({ message, pos: [at] }) => ({
        file,
        line: lines.linePos(at).line,
        text: message.split("\n")[0]!,
      }));
    }
    const content: unknown = document.toJS();
    const found = file.includes("/workflows/") ? workflow(content) : form(file, content);
    return [...found].map((text) => ({ file, line: 1, text }));
  });
}

function isMapping(value: unknown): value is Mapping {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function* keysOf(what: string, value: Mapping, known: string): Generator<string> {
  for (const key of Object.keys(value)) {
    if (!known.split(" ").includes(key)) yield `${what} has an unknown key: ${key}`;
  }
}

function* workflow(content: unknown): Generator<string> {
  if (!isMapping(content)) return void (yield "a workflow is a mapping");
  const { on, permissions, jobs } = content;
  yield* keysOf("the workflow", content, WORKFLOW_KEYS);
  if (on === undefined) yield "the workflow has no on";
  if (JSON.stringify(permissions) !== '{"contents":"read"}') {
    yield "the workflow's permissions are not contents: read";
  }
  if (!isMapping(jobs)) return void (yield "the workflow has no jobs");
  for (const [name, value] of Object.entries(jobs)) yield* job(name, value, Object.keys(jobs));
}

function* job(name: string, value: unknown, jobs: readonly string[]): Generator<string> {
  const what = `the job ${name}`;
  if (!isMapping(value)) return void (yield `${what} is no mapping`);
  yield* keysOf(what, value, JOB_KEYS);
  if (typeof value["runs-on"] !== "string") yield `${what} has no runs-on`;
  if (typeof value["timeout-minutes"] !== "number") yield `${what} has no timeout-minutes`;
  for (const [permission, access] of Object.entries(value.permissions ?? {})) {
    if (access === "read" || permission === "id-token") continue;
    yield `${what} has the permission ${permission}: ${access}`;
  }
  for (const other of [value.needs ?? []].flat()) {
    if (!jobs.includes(other as string)) yield `${what} needs ${other}, which is no job`;
  }
  const { matrix = {} } = isMapping(value.strategy) ? value.strategy : {};
  for (const [, key] of JSON.stringify(value).matchAll(/\bmatrix\.([\w-]+)/g)) {
    if (!(key! in (matrix as Mapping))) yield `${what} uses matrix.${key}, which it does not have`;
  }
  const { steps } = value;
  if (!Array.isArray(steps) || steps.length === 0) return void (yield `${what} has no steps`);
  for (const [i, each] of steps.entries()) yield* step(`step ${i + 1} of ${what}`, each);
}

function* step(what: string, value: unknown): Generator<string> {
  if (!isMapping(value)) return void (yield `${what} is no mapping`);
  yield* keysOf(what, value, STEP_KEYS);
  const { uses, run } = value;
  if ((uses === undefined) === (run === undefined)) yield `${what} has not one of uses and run`;
  if (uses !== undefined && !/^[\w.-]+\/[\w./-]+@(?:v\d+|[0-9a-f]{40})$/.test(`${uses}`)) {
    yield `${what} uses ${uses}, which is no version: name@v1, or a commit`;
  }
  // Whoever opens a pull request chooses its title and the names of its branches.
  if (/\$\{\{\s*(?:github|inputs)\./.test(`${run}`)) {
    yield `${what} makes a command of what others chose: pass it by env`;
  }
}

function* form(file: string, content: unknown): Generator<string> {
  if (file.endsWith("/config.yml")) return;
  if (!isMapping(content)) return void (yield "a form is a mapping");
  yield* keysOf("the form", content, FORM_KEYS);
  for (const key of ["name", "description"]) {
    if (typeof content[key] !== "string") yield `the form has no ${key}`;
  }
  const fields = Array.isArray(content.body) ? content.body : [];
  const ids = fields.map(({ id }) => id).filter((id) => id !== undefined);
  if (new Set(ids).size < ids.length) yield "two fields of the form have the same id";
  if (!fields.some(({ type }) => INPUTS.includes(type))) yield "the form has no field";
  for (const { type, id, attributes } of fields) {
    if (type === "markdown" ? attributes?.value : INPUTS.includes(type) && attributes?.label) {
      continue;
    }
    yield `the field ${id ?? type} of the form is not complete`;
  }
}

if (import.meta.main) {
  const files = await readTree((path) => path.startsWith(".github/") && path.endsWith(".yml"));
  report(checkWorkflows(files), `the structure of ${files.size} workflows and forms`);
}
