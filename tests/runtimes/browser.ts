/// <reference lib="dom" />
/**
 * The suite in a page of headless Chromium, bundled.
 *
 * @module
 */
import { executable, launch } from "../e2e/chromium.ts";
import { output } from "./commands.ts";
import type { Outcome } from "./suite/case.ts";

const PAGE = `<!doctype html><script type="module" src="/bundle.js"></script>`;
// What makes a page cross-origin isolated: it has SharedArrayBuffer then.
const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/**
 * Runs a program in a page.
 *
 * @param folder Where the packed package is installed.
 * @param program The program there.
 * @param isolated Whether the page is cross-origin isolated.
 * @returns The browser's name and what the suite found, or why there is no browser.
 */
export async function runInBrowser(
  folder: string,
  program: string,
  isolated: boolean,
): Promise<{ name: string; outcome: Outcome } | string> {
  if (executable === undefined) return "no chromium on the PATH, and CHROMIUM is not set";
  const bundled = await output(
    Deno.execPath(),
    ["bundle", "--platform", "browser", "--quiet", "-o", "bundle.js", program],
    folder,
  );
  if (bundled.code !== 0) throw new Error(`Cannot bundle ${program}: ${bundled.text}`);
  const bundle = await Deno.readTextFile(`${folder}/bundle.js`);
  await using server = serve(bundle, isolated);
  const browser = await launch(executable);
  try {
    const page = await browser.newPage();
    const failed = new Promise<never>((_, reject) => page.on("pageerror", reject));
    await page.goto(`http://localhost:${server.addr.port}/`);
    const outcome = page.waitForFunction(() => (globalThis as { outcome?: Outcome }).outcome);
    const found = await (await Promise.race([outcome, failed])).jsonValue();
    if (await page.evaluate(() => crossOriginIsolated) !== isolated) {
      throw new Error("The page is not isolated as it should be");
    }
    return { name: `Chromium ${browser.version()}`, outcome: found! };
  } finally {
    await browser.close();
  }
}

function serve(bundle: string, isolated: boolean): Deno.HttpServer<Deno.NetAddr> {
  const headers = isolated ? ISOLATION : {};
  return Deno.serve({ hostname: "localhost", port: 0, onListen() {} }, (request) => {
    const isPage = new URL(request.url).pathname === "/";
    const type = isPage ? "text/html" : "text/javascript";
    return new Response(isPage ? PAGE : bundle, {
      headers: { ...headers, "Content-Type": type },
    });
  });
}
