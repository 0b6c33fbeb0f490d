import { assertEquals } from "@std/assert";
import { checkWorkflows } from "./support/check_workflows.ts";

const GOOD = `
name: CI
on: push
permissions:
  contents: read
jobs:
  a:
    runs-on: \${{ matrix.runner }}
    timeout-minutes: 5
    strategy:
      matrix:
        runner: [one, two]
    steps:
      - uses: actions/checkout@v5
      - run: bash .ci/run
  b:
    needs: a
    runs-on: one
    timeout-minutes: 5
    permissions:
      id-token: write
    steps:
      - run: echo
`;

const FORM = `
name: Bug
description: Something is wrong
body:
  - type: markdown
    attributes:
      value: Hello
  - type: input
    id: version
    attributes:
      label: Version
`;

function check(text: string, file: string): string[] {
  return checkWorkflows(new Map([[file, text]])).map(({ line, text }) => `${line}: ${text}`);
}

// What is replaced by what, and what is said of it.
const WRONG: readonly (readonly [good: string, bad: string, problem: string])[] = [
  [
    "name: CI",
    "name: CI: 2",
    "2: Nested mappings are not allowed in compact mappings at line 2, column 7:",
  ],
  ["name: CI", "name: CI\nname: CI", "3: Map keys must be unique at line 3, column 1:"],
  ["name: CI", "names: CI", "1: the workflow has an unknown key: names"],
  ["on: push\n", "", "1: the workflow has no on"],
  ["  contents: read", "  contents: write", "1: the workflow's permissions are not contents: read"],
  ["id-token: write", "packages: write", "1: the job b has the permission packages: write"],
  ["runs-on: one\n", "run-on: one\n", "1: the job b has an unknown key: run-on"],
  ["runs-on: one\n", "name: b\n", "1: the job b has no runs-on"],
  ["needs: a", "needs: c", "1: the job b needs c, which is no job"],
  [
    "        runner:",
    "        runners:",
    "1: the job a uses matrix.runner, which it does not have",
  ],
  ["- run: echo", "[]", "1: the job b has no steps"],
  ["- run: echo", "- name: b", "1: step 1 of the job b has not one of uses and run"],
  [
    "- run: echo",
    "- run: echo\n        uses: a/b@v1",
    "1: step 1 of the job b has not one of uses and run",
  ],
  [
    "checkout@v5",
    "checkout@main",
    "1: step 1 of the job a uses actions/checkout@main, which is no version: name@v1, or a commit",
  ],
  [
    "- run: echo",
    "- run: echo ${{ github.head_ref }}",
    "1: step 1 of the job b makes a command of what others chose: pass it by env",
  ],
];

Deno.test("the workflow check finds nothing wrong with a good one", () => {
  assertEquals(check(GOOD, ".github/workflows/a.yml"), []);
});

for (const [good, bad, problem] of WRONG) {
  Deno.test(`the workflow check finds what is wrong with ${JSON.stringify(bad)}`, () => {
    assertEquals(check(GOOD.replace(good, bad), ".github/workflows/a.yml")[0], problem);
  });
}

Deno.test("the workflow check finds forms that are not complete", () => {
  const file = ".github/ISSUE_TEMPLATE/bug.yml";
  assertEquals(check(FORM, file), []);
  assertEquals(check(FORM.replace("label: Version", "name: Version"), file), [
    "1: the field version of the form is not complete",
  ]);
  assertEquals(check(FORM.replace("description", "about"), file), [
    "1: the form has an unknown key: about",
    "1: the form has no description",
  ]);
});
