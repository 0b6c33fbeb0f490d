/// <reference lib="dom" />
/**
 * A browser without a window.
 *
 * @module
 */
import { type Browser, chromium, type Page } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** The program; `undefined` where there is none. */
export const executable: string | undefined = Deno.env.get("CHROMIUM") ||
  (Deno.env.get("PATH") ?? "").split(":")
    .flatMap((folder) => NAMES.map((name) => `${folder}/${name}`))
    .find(isFile);

/** Starts a browser, for pages of this project alone. */
export function launch(executable: string): Promise<Browser> {
  return chromium.launch({
    executablePath: executable,
    // Root has no sandbox, and this page is ours.
    args: Deno.uid() === 0 ? ["--no-sandbox"] : [],
  });
}

/** Registers a test that needs a browser, or one that is ignored with the reason in its name. */
export function browserTest(name: string, fn: (browser: Browser) => Promise<void>): void {
  const ignore = executable === undefined;
  Deno.test({
    name: ignore ? `${name} (ignored: no chromium on the PATH, and CHROMIUM is not set)` : name,
    ignore,
    // The browser's process and its pipes are playwright's.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      const browser = await launch(executable!);
      try {
        await fn(browser);
      } finally {
        await browser.close();
      }
    },
  });
}

/** What a page looks like. */
export interface Screen {
  readonly width: number;
  readonly height: number;
  readonly colours: "dark" | "light";
  readonly isPhone?: boolean;
}

/** A page, and what it complained about. */
export async function openPage(
  browser: Browser,
  url: string,
  { width, height, colours, isPhone = false }: Screen,
): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser.newPage({
    viewport: { width, height },
    colorScheme: colours,
    isMobile: isPhone,
    hasTouch: isPhone,
    deviceScaleFactor: isPhone ? 2 : 1,
  });
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(url);
  await page.waitForSelector('[data-status="live"]');
  await page.waitForFunction(() => !/–/.test(document.getElementById("look")!.textContent!));
  return { page, complaints };
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
