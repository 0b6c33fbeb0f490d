/**
 * Serves one page that shows a memory, to this machine only.
 *
 * The page shows what is in the memory of a guest: passwords too. So the server listens on the
 * loopback address, its addresses begin with a secret, and it refuses what a page of another site may
 * send: another `Host` (a name that resolves to 127.0.0.1), and a WebSocket of another origin.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { timingSafeEqual } from "node:crypto";
import { stripTypeScriptTypes } from "node:module";
import { GuestAddress } from "@vmm/guest-memory";
import { PageState } from "./page_runs.ts";
import type { MemorySource } from "./source.ts";
import { Viewers } from "./viewers.ts";

/** A page that is served. */
export interface ViewServer extends AsyncDisposable {
  /** Where. Who knows it can read the memory. */
  readonly url: string;
}

/**
 * Serves the page.
 *
 * @param source What it shows. It has to stay open until the server is disposed of.
 * @param port The port of 127.0.0.1; 0 takes a free one.
 */
export function serveView(source: MemorySource, port: number): ViewServer {
  const token = [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const viewers = new Viewers(source);
  const ending = new AbortController();
  const server: Deno.HttpServer<Deno.NetAddr> = Deno.serve(
    { hostname: HOST, port, signal: ending.signal, onListen: () => {} },
    (request) => refusal(request, server.addr.port, token) ?? answer(request, source, viewers),
  );
  return {
    url: `http://${HOST}:${server.addr.port}/${token}/`,
    async [Symbol.asyncDispose]() {
      viewers[Symbol.dispose]();
      // A browser keeps its connections: shutdown() would wait for them.
      ending.abort();
      await server.finished;
    },
  };
}

const HOST = "127.0.0.1";

const HTML = "text/html; charset=utf-8";
const CSS = "text/css; charset=utf-8";
const SCRIPT = "text/javascript; charset=utf-8";

/** The files of the page, by their place in this folder. The types are removed from scripts. */
const FILES: Record<string, string> = {
  "page/index.html": HTML,
  "page/style.css": CSS,
  "page/main.ts": SCRIPT,
  "page/cells.ts": SCRIPT,
  "page/connection.ts": SCRIPT,
  "page/details.ts": SCRIPT,
  "page/elements.ts": SCRIPT,
  "page/gestures.ts": SCRIPT,
  "page/hex_rows.ts": SCRIPT,
  "page/legend.ts": SCRIPT,
  "page/map_layout.ts": SCRIPT,
  "page/map_view.ts": SCRIPT,
  "page/memory_canvas.ts": SCRIPT,
  "page/overview.ts": SCRIPT,
  "page/palette.ts": SCRIPT,
  "page/texts.ts": SCRIPT,
  "page_map.ts": SCRIPT,
  "page_runs.ts": SCRIPT,
  "wire.ts": SCRIPT,
};

const HEADERS: Record<string, string> = {
  "cache-control": "no-store",
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  // The address has the secret in it.
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

function refusal(request: Request, port: number, token: string): Response | undefined {
  const hosts = [`${HOST}:${port}`, `localhost:${port}`];
  if (!hosts.includes(request.headers.get("host") ?? "")) return text(403, "another host");
  if (request.method !== "GET") return text(405, "only GET");
  const origin = request.headers.get("origin");
  if (origin !== null && !hosts.some((host) => origin === `http://${host}`)) {
    return text(403, "another origin");
  }
  const [, given = ""] = new URL(request.url).pathname.split("/");
  // As long as the secret, or it could not be compared in constant time.
  const bytes = Buffer.from(given);
  const isKnown = bytes.length === token.length && timingSafeEqual(bytes, Buffer.from(token));
  return isKnown ? undefined : text(404, "nothing is here");
}

function answer(
  request: Request,
  source: MemorySource,
  viewers: Viewers,
): Response | Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const [, token, ...rest] = pathname.split("/");
  const path = rest.join("/");
  switch (path) {
    case "":
      return new Response(null, {
        status: 302,
        headers: { ...HEADERS, location: `/${token}/page/index.html` },
      });
    case "live":
      return live(request, viewers);
    case "bytes":
      return pageBytes(searchParams.get("page"), source, viewers);
    default:
      return Object.hasOwn(FILES, path) ? file(path) : text(404, "nothing is here");
  }
}

function live(request: Request, viewers: Viewers): Response {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    return text(426, "only WebSockets");
  }
  // Of a browser, which always names its origin.
  if (request.headers.get("origin") === null) return text(403, "no origin");
  const { socket, response } = Deno.upgradeWebSocket(request);
  viewers.add(socket);
  return response;
}

function pageBytes(page: string | null, { memory, pages }: MemorySource, viewers: Viewers) {
  const number = page !== null && /^\d{1,10}$/.test(page) ? Number(page) : NaN;
  if (!(number < pages.count)) return text(400, `page is not a number below ${pages.count}`);
  // To read a page that is not there would take it from the host.
  if (viewers.map.states[number] === PageState.absent) {
    return new Response(null, { status: 204, headers: HEADERS });
  }
  const bytes = new Uint8Array(pages.pageSize);
  memory.readSlice(bytes, GuestAddress(pages.addressOf(number)));
  return new Response(bytes, {
    headers: { ...HEADERS, "content-type": "application/octet-stream" },
  });
}

async function file(path: string): Promise<Response> {
  const type = FILES[path]!;
  const content = await Deno.readTextFile(new URL(path, import.meta.url));
  const body = type === SCRIPT ? stripTypeScriptTypes(content) : content;
  return new Response(body, { headers: { ...HEADERS, "content-type": type } });
}

function text(status: number, message: string): Response {
  return new Response(`${message}\n`, {
    status,
    headers: { ...HEADERS, "content-type": "text/plain; charset=utf-8" },
  });
}
