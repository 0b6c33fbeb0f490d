import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { GuestAddress, GuestMemoryHeap } from "@vmm/guest-memory";
import { PageNumbers, PageState } from "../../../examples/view/page_runs.ts";
import { serveView } from "../../../examples/view/server.ts";
import type { MemorySource, SourceListener } from "../../../examples/view/source.ts";
import { decodeRuns, MessageKind } from "../../../examples/view/wire.ts";

const PAGE = 4096;
const PAGES = 8;

/** A source of 8 pages that says what a test says. */
class ScriptedSource implements MemorySource {
  readonly title = "a guest";
  readonly about = "what it is";
  readonly memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 5 * PAGE], [
    GuestAddress(2 ** 32),
    3 * PAGE,
  ]]);
  readonly pages = new PageNumbers(this.memory, PAGE);
  readonly writers = { guest: "changed" };
  readonly look = "sweep";
  listener: SourceListener | undefined;
  now = () => 77;

  watch(listener: SourceListener): () => void {
    this.listener = listener;
    return () => this.listener = undefined;
  }
}

// Deno.serve refuses no header, and fetch sets some itself: so requests are written by hand.
async function ask(url: string, path: string, headers: Record<string, string> = {}) {
  const { port, host } = new URL(url);
  const method = headers["method"] ?? "GET";
  const all: Record<string, string> = { host, connection: "close", ...headers };
  delete all["method"];
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  const lines = [
    `${method} ${path} HTTP/1.1`,
    ...Object.entries(all).map((pair) => pair.join(": ")),
  ];
  await connection.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`));
  const reply = await new Response(connection.readable).text();
  return { status: Number(reply.split(" ")[1]), reply };
}

async function withServer(
  test: (source: ScriptedSource, url: string, root: string) => Promise<void>,
): Promise<void> {
  const source = new ScriptedSource();
  await using server = serveView(source, 0);
  await test(source, server.url, new URL(server.url).pathname);
}

Deno.test("serveView() serves its page, offline and to nobody else", async () => {
  await withServer(async (_source, url, root) => {
    assertMatch(url, /^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{32}\/$/);
    assertEquals((await ask(url, root)).status, 302);
    const page = await ask(url, `${root}page/index.html`);
    assertEquals(page.status, 200);
    assertStringIncludes(
      page.reply,
      "content-security-policy: default-src 'none'; script-src 'self'",
    );
    assertStringIncludes(page.reply, "referrer-policy: no-referrer");
    assert(!/https?:\/\//.test(page.reply), "the page loads something from elsewhere");
    // All that the scripts import is served, as JavaScript.
    const seen = new Set<string>();
    const todo = ["page/main.ts"];
    for (const path of todo) {
      if (seen.has(path)) continue;
      seen.add(path);
      const response = await fetch(new URL(path, url));
      const script = await response.text();
      assertEquals([response.status, response.headers.get("content-type")], [
        200,
        "text/javascript; charset=utf-8",
      ], path);
      for (
        const [, from] of script.matchAll(/^\} from "(\.[^"]+)"|^import .* from "(\.[^"]+)"/gm)
      ) {
        if (from !== undefined) todo.push(new URL(from, new URL(path, "x:/")).pathname.slice(1));
      }
    }
  });
});

Deno.test("serveView() refuses other names, origins, methods, secrets and files", async () => {
  await withServer(async (_source, url, root) => {
    const { port } = new URL(url);
    const page = `${root}page/index.html`;
    assertEquals((await ask(url, page, { host: `localhost:${port}` })).status, 200);
    for (const host of ["evil.example", `evil.example:${port}`, "127.0.0.1", `127.0.0.1:1`]) {
      assertEquals((await ask(url, page, { host })).status, 403, host);
    }
    const origin = `http://127.0.0.1:${port}`;
    assertEquals((await ask(url, page, { origin })).status, 200);
    for (const origin of ["null", "http://evil.example", `https://127.0.0.1:${port}`]) {
      assertEquals((await ask(url, page, { origin })).status, 403, origin);
    }
    assertEquals((await ask(url, page, { method: "POST" })).status, 405);
    const token = root.slice(1, -1);
    for (
      const path of [
        "/",
        "/page/index.html",
        `/${token.slice(1)}/page/index.html`,
        `/${token.slice(1)}0/page/index.html`,
        `/${"%00".repeat(32)}/page/index.html`,
        `${root}server.ts`,
        `${root}page/../server.ts`,
        `${root}page/..%2f..%2f..%2fdeno.json`,
        `${root}toString`,
        `${root}__proto__`,
      ]
    ) assertEquals((await ask(url, path)).status, 404, path);
    assertEquals((await ask(url, `${root}live`)).status, 426);
    const upgrade = {
      upgrade: "websocket",
      connection: "close, upgrade",
      "sec-websocket-version": "13",
      "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    };
    assertEquals((await ask(url, `${root}live`, upgrade)).status, 403);
    const elsewhere = { ...upgrade, origin: "http://evil.example" };
    assertEquals((await ask(url, `${root}live`, elsewhere)).status, 403);
  });
});

Deno.test("serveView() gives the bytes of pages that are there, by checked numbers", async () => {
  await withServer(async (source, url) => {
    const socket = connect(url);
    const messages = messagesOf(socket);
    await messages();
    await messages();
    source.memory.writeSlice(
      new TextEncoder().encode("above the hole"),
      GuestAddress(2 ** 32 + PAGE),
    );
    const get = (page: string) => fetch(new URL(`bytes?page=${page}`, url));
    const absent = await get("6");
    assertEquals(absent.status, 204);
    await absent.body?.cancel();
    source.listener!.changed({
      at: 5,
      milliseconds: 1,
      resident: 1,
      changed: 1,
      runs: [{ first: 6, count: 1, state: PageState.guest }],
    });
    const response = await get("6");
    assertEquals(response.status, 200);
    const bytes = new Uint8Array(await response.arrayBuffer());
    assertEquals(bytes.length, PAGE);
    assertEquals(new TextDecoder().decode(bytes.subarray(0, 14)), "above the hole");
    for (const page of ["", "8", "-1", "1.5", "1e0", "0x1", "NaN", "99999999999999999999", " 6"]) {
      const refused = await get(encodeURIComponent(page));
      assertEquals(refused.status, 400, page);
      await refused.body?.cancel();
    }
    const { status, body } = await fetch(new URL("bytes", url));
    assertEquals(status, 400);
    await body?.cancel();
    socket.close();
    await closed(socket);
  });
});

Deno.test("serveView() watches while somebody looks, and sends what is new", async () => {
  await withServer(async (source, url) => {
    assertEquals(source.listener, undefined);
    const first = connect(url);
    const messages = messagesOf(first);
    const hello = JSON.parse(await messages() as string);
    assertEquals([hello.title, hello.pages, hello.pageSize, hello.now], [
      "a guest",
      PAGES,
      PAGE,
      77,
    ]);
    assertEquals(hello.regions, [[0, 5, 0], [5, 3, 2 ** 32]]);
    const whole = decodeRuns(await messages() as ArrayBuffer);
    assertEquals([whole.kind, whole.runs.length], [MessageKind.whole, 0]);
    const change = { at: 100, milliseconds: 2.5, resident: 3, changed: 2 };
    const runs = [
      { first: 1, count: 2, state: PageState.guest },
      { first: 7, count: 1, state: PageState.present },
    ];
    source.listener!.changed({ ...change, runs });
    const dated = runs.map((run) => ({ ...run, at: 100 }));
    assertEquals(decodeRuns(await messages() as ArrayBuffer), {
      kind: MessageKind.changes,
      at: 100,
      microseconds: 2500,
      resident: 3,
      changed: 2,
      runs: dated,
    });
    source.listener!.marked({ at: 101, text: "a snapshot" });
    assertEquals(JSON.parse(await messages() as string), { mark: { at: 101, text: "a snapshot" } });
    // Who comes later gets all of it.
    const second = connect(url);
    const later = messagesOf(second);
    assertEquals(JSON.parse(await later() as string).marks, [{ at: 101, text: "a snapshot" }]);
    assertEquals(decodeRuns(await later() as ArrayBuffer).runs, dated);
    first.close();
    await closed(first);
    assert(source.listener !== undefined);
    second.close();
    await closed(second);
    for (let i = 0; i < 100 && source.listener !== undefined; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assertEquals(source.listener, undefined);
  });
});

// As a browser does, which says where its page is from. The types of the browser's class, which the
// scripts of the page bring, do not have that.
function connect(url: string): WebSocket {
  const Socket = WebSocket as unknown as new (
    url: URL,
    options: { headers: Record<string, string> },
  ) => WebSocket;
  return new Socket(new URL("live", url.replace("http", "ws")), {
    headers: { origin: new URL(url).origin },
  });
}

function messagesOf(socket: WebSocket): () => Promise<unknown> {
  socket.binaryType = "arraybuffer";
  const waiting: ((data: unknown) => void)[] = [];
  const arrived: unknown[] = [];
  socket.onmessage = ({ data }) => {
    const next = waiting.shift();
    if (next === undefined) arrived.push(data);
    else next(data);
  };
  return () =>
    new Promise((resolve) => {
      if (arrived.length > 0) resolve(arrived.shift());
      else waiting.push(resolve);
    });
}

function closed(socket: WebSocket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.readyState === WebSocket.CLOSED) resolve();
    socket.addEventListener("close", () => resolve());
  });
}
