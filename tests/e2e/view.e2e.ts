/// <reference lib="dom" />
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Page } from "playwright-core";
import { BANNER, FakeGuest, introspect, Program } from "../examples/introspect/programs.ts";
import { browserTest, openPage, type Screen } from "./chromium.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const PAGE = 4096;
const DESKTOP: Screen = { width: 1440, height: 900, colours: "dark" };
const PHONE: Screen = { width: 390, height: 844, colours: "light", isPhone: true };
const PICTURES = new URL("../../target/e2e/", import.meta.url).pathname;
const A_FRAME = 17;
const MICROVM = new URL("../../examples/microvm.ts", import.meta.url).href;

function hasKvm(): boolean {
  try {
    Deno.openSync("/dev/kvm", { read: true, write: true }).close();
    return true;
  } catch {
    return false;
  }
}

async function serve(guest: FakeGuest): Promise<{ program: Program; url: string }> {
  const program = introspect("--pid", String(guest.pid), "--serve");
  return { program, url: await program.line() };
}

async function picture(page: Page, name: string): Promise<void> {
  await Deno.mkdir(PICTURES, { recursive: true });
  await page.screenshot({ path: `${PICTURES}${name}.png`, fullPage: true });
}

async function hexHas(page: Page, text: string): Promise<void> {
  await page.waitForFunction(
    (text) => document.getElementById("hex")!.textContent!.includes(text),
    text,
  );
}

const text = (page: Page, id: string) => page.locator(`#${id}`).innerText();

/** The brightest red around a place in the map. */
function brightness(page: Page, x: number, y: number): Promise<number> {
  return page.evaluate(([x, y]) => {
    const canvas = document.getElementById("map") as HTMLCanvasElement;
    const ratio = devicePixelRatio;
    // By way of another, as reading is slow from one that is drawn on a graphics processor.
    const copy = document.createElement("canvas");
    const context = copy.getContext("2d", { willReadFrequently: true })!;
    context.drawImage(canvas, x! * ratio - 3, y! * ratio - 3, 6, 6, 0, 0, 6, 6);
    const { data } = context.getImageData(0, 0, 6, 6);
    return Math.max(...data.filter((_, i) => i % 4 === 0));
  }, [x, y]);
}

browserTest(
  "view shows a page that the guest writes within a second, and its bytes",
  async (browser) => {
    await using guest = await FakeGuest.start(64 * MIB);
    await guest.write(5 * MIB, BANNER);
    await guest.write(40 * MIB, "cold");
    const { program, url } = await serve(guest);
    await using _program = program;
    const { page, complaints } = await openPage(browser, url, DESKTOP);
    assertStringIncludes(await text(page, "about"), BANNER);
    assertMatch(await text(page, "resident"), /^8 KiB$/);
    // The first cell is kept by the keyboard, so that its page is known.
    await page.locator("#map").focus();
    for (const key of ["Home", "ArrowDown", "ArrowDown", "ArrowRight"]) {
      await page.keyboard.press(
        key,
      );
    }
    await page.waitForFunction(() =>
      document.getElementById("state")!.textContent!.startsWith("not there")
    );
    const address = Number((await text(page, "address")).replaceAll("_", ""));
    assert(address > 0 && address % PAGE === 0);
    await hexHas(page, "The host has no memory");
    const start = performance.now();
    await guest.write(address + 16, "feedface");
    await page.waitForFunction(() =>
      /^changed \d/.test(document.getElementById("state")!.textContent!)
    );
    const seen = performance.now() - start;
    assert(seen < 1000, `seen after ${seen} ms`);
    await hexHas(page, "010  66 65 65 64 66 61 63 65  feedface");
    // Again: what changed in it is marked.
    await guest.write(address + 16, "feedfood");
    await page.waitForFunction(() => document.querySelectorAll("#hex mark").length === 3);
    assertEquals(complaints, []);
  },
);

browserTest(
  "view shows what the pointer is over, zooms, pauses, and continues",
  async (browser) => {
    await using guest = await FakeGuest.start(64 * MIB);
    await guest.write(0, "the first page");
    const { program, url } = await serve(guest);
    await using _program = program;
    const { page, complaints } = await openPage(browser, url, DESKTOP);
    const box = (await page.locator("#map").boundingBox())!;
    let x = 0;
    // Where the addresses end and the cells begin.
    for (x = 20; await text(page, "address") === "–" && x < 200; x += 2) {
      await page.mouse.move(box.x + x, box.y + 4);
      await page.waitForTimeout(20);
    }
    assertEquals(await text(page, "address"), "0x0");
    await hexHas(page, "the firs");
    // Away from it, as a frame is drawn around what is pointed at.
    await page.mouse.move(box.x + 400, box.y + 300);
    await page.waitForTimeout(200);
    const cold = await brightness(page, x, 4);
    const before = await text(page, "look");
    await guest.write(100, "hot");
    await page.waitForFunction(
      (old) => document.getElementById("look")!.textContent !== old,
      before,
    );
    await page.waitForTimeout(500);
    const hot = await brightness(page, x, 4);
    assert(hot > cold + 40, `${cold} became ${hot}`);
    const level = await text(page, "level");
    await page.mouse.wheel(0, 120);
    await page.waitForFunction(
      (level) => document.getElementById("level")!.textContent !== level,
      level,
    );
    await page.mouse.wheel(0, -120);
    await page.waitForFunction(
      (level) => document.getElementById("level")!.textContent === level,
      level,
    );
    await page.locator("#pause").click();
    assertEquals(await page.locator("#pause").getAttribute("aria-pressed"), "true");
    await guest.write(9 * PAGE, "while it is paused");
    const resident = await text(page, "resident");
    await page.waitForTimeout(700);
    assertEquals(await text(page, "resident"), resident);
    await page.locator("#pause").click();
    await page.waitForFunction(
      (old) => document.getElementById("resident")!.textContent !== old,
      resident,
    );
    assertEquals(complaints, []);
  },
);

browserTest("view keeps 60 frames a second with 8 GiB of guest", async (browser) => {
  await using guest = await FakeGuest.start(8 * GIB);
  for (let i = 0; i < 512; i++) await guest.write(i * 16 * MIB + i % 7 * MIB, "touched");
  const { program, url } = await serve(guest);
  await using _program = program;
  const { page, complaints } = await openPage(browser, url, DESKTOP);
  const writing = new AbortController();
  const written = (async () => {
    for (let i = 0; !writing.signal.aborted; i++) {
      await guest.write(i * 77 % 512 * 16 * MIB, `${i}`);
    }
  })();
  const box = (await page.locator("#map").boundingBox())!;
  await page.mouse.move(box.x + 400, box.y + 300);
  const blank = await browser.newPage();
  const rounds: Frames[] = [];
  const blankRounds: number[] = [];
  // The best of some rounds, each beside a page that does nothing: other programs take frames, too.
  for (let round = 0; round < 5; round++) {
    await blank.bringToFront();
    blankRounds.push((await framesOf(blank, 1000)).gap);
    await page.bringToFront();
    const measured = framesOf(page, 3000);
    // Each zoom looks at other cells: at all of 2,097,152 pages, if all are visible.
    for (const turn of [-120, -120, -120, 120, 120, 120]) {
      await page.mouse.wheel(0, turn);
      await page.waitForTimeout(250);
    }
    await page.mouse.down();
    for (let y = 300; y > 100; y -= 10) await page.mouse.move(box.x + 400, box.y + y);
    await page.mouse.up();
    rounds.push(await measured);
    if (rounds.at(-1)!.gap <= A_FRAME) break;
  }
  writing.abort();
  await written;
  const shown = (numbers: number[]) => numbers.map((ms) => ms.toFixed(1)).join(", ");
  const gaps = rounds.map(({ gap }) => gap);
  const work = rounds.map(({ work }) => work);
  console.log(
    `8 GiB, 95 % of the frames, ms by round: from one to the next ${shown(gaps)}; ` +
      `of a blank page ${shown(blankRounds)}; drawing ${shown(work)}`,
  );
  assert(Math.min(...work) <= A_FRAME, `drawing took ${shown(work)} ms`);
  const possible = Math.max(A_FRAME, Math.min(...blankRounds));
  assert(Math.min(...gaps) <= possible, `frames took ${shown(gaps)} ms`);
  assertEquals(complaints, []);
});

browserTest("microvm --view shows who wrote, and snapshots", async (browser) => {
  if (!hasKvm()) return console.log("skipped: there is no /dev/kvm that can be opened");
  await using program = new Program([MICROVM, "--view"]);
  const { page, complaints } = await openPage(browser, await program.line(), DESKTOP);
  await page.waitForFunction(() => document.querySelectorAll("#marks li").length >= 2);
  assertMatch(await text(page, "marks"), /^\d+\.\d s at count \d+: \d+ KiB in /);
  const box = (await page.locator("#map").boundingBox())!;
  // The host writes to the fourth of the eight rows, the guest to the last four.
  for (const [row, writer] of [[3.5, "host wrote"], [5.5, "guest wrote"]] as const) {
    await page.mouse.move(box.x + box.width / 2, box.y + box.height * row / 8);
    await page.waitForFunction(
      (writer) => document.getElementById("state")!.textContent!.startsWith(writer),
      writer,
    );
  }
  await picture(page, "microvm-dark");
  assertEquals(complaints, []);
});

browserTest("view looks right on a desktop and on a phone", async (browser) => {
  await using guest = await FakeGuest.start(8 * GIB);
  await guest.write(16 * MIB, BANNER);
  const { program, url } = await serve(guest);
  await using _program = program;
  for (const [name, screen] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    for (const colours of ["dark", "light"] as const) {
      const { page, complaints } = await openPage(browser, url, { ...screen, colours });
      for (let i = 0; i < 400; i++) {
        await guest.write(Math.floor(i ** 2 * 53_687) + i % 9 * 64 * PAGE, `page ${i} of ${name}`);
      }
      await page.locator("#map").focus();
      await page.keyboard.press("ArrowDown");
      await page.waitForFunction(() => document.getElementById("hex")!.textContent!.length > 20);
      await page.waitForTimeout(400);
      await picture(page, `${name}-${colours}`);
      const overflow = await page.evaluate(() =>
        document.documentElement.scrollWidth - document.documentElement.clientWidth
      );
      assertEquals(overflow, 0);
      assertEquals(complaints, []);
      await page.close();
    }
  }
});

/** What 95 % of the frames took at most, in ms. */
interface Frames {
  /** From the beginning of one to that of the next. */
  readonly gap: number;
  /** In the functions of the page that draw. */
  readonly work: number;
}

function framesOf(page: Page, milliseconds: number): Promise<Frames> {
  return page.evaluate((milliseconds) =>
    new Promise<Frames>((resolve) => {
      const highest = (times: number[]) =>
        times.sort((a, b) => a - b)[Math.floor(0.95 * times.length)] ?? 0;
      const times: number[] = [];
      const work: number[] = [];
      const request = globalThis.requestAnimationFrame;
      globalThis.requestAnimationFrame = (draw) =>
        request((time) => {
          const start = performance.now();
          draw(time);
          work.push(performance.now() - start);
        });
      const frame = (time: number) => {
        times.push(time);
        if (time - times[0]! < milliseconds) return void request(frame);
        globalThis.requestAnimationFrame = request;
        resolve({
          gap: highest(times.slice(1).map((time, i) => time - times[i]!)),
          work: highest(work),
        });
      };
      request(frame);
    }), milliseconds);
}
