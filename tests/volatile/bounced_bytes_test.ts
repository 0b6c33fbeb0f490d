import { assertEquals, assertThrows } from "@std/assert";
import { type Bytes, Cursor, IOError, OutOfBounds } from "../../mod.ts";
import { BouncedBytes } from "../../src/volatile/bounced_bytes.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import { count } from "../support/values.ts";

const CHUNK = 2 ** 20;

function place(length = 16): { region: ElsewhereRegion; memory: Bytes<number> & { len: number } } {
  const region = new ElsewhereRegion(0, length);
  return { region, memory: region as unknown as Bytes<number> & { len: number } };
}

const bounced = (memory: Bytes<number> & { len: number }) => new BouncedBytes(memory, memory.len);

Deno.test("BouncedBytes.readVolatileFrom() writes what was read, once", () => {
  const { region, memory } = place();
  const source = new Cursor(count(3));
  assertEquals(bounced(memory).readVolatileFrom(4, source, 8), 3);
  assertEquals([...region.content.slice(3, 9)], [0, 1, 2, 3, 0, 0]);
  assertEquals(bounced(memory).readVolatileFrom(4, source, 8), 0);
  assertEquals(bounced(memory).readVolatileFrom(4, source, 0), 0);
  assertEquals(region.asked.read, 0);
});

Deno.test("BouncedBytes.readVolatileFrom() and BouncedBytes.writeVolatileTo() end at the memory's end", () => {
  const { region, memory } = place();
  const source = new Cursor(count(64));
  assertEquals(bounced(memory).readVolatileFrom(10, source, 64), 6);
  assertEquals([source.position, region.content[15]], [6, 6]);
  const sink = new Cursor(new Uint8Array(64));
  assertEquals(bounced(memory).writeVolatileTo(10, sink, 64), 6);
  assertEquals([sink.position, sink.bytes[5]], [6, 6]);
  for (const at of [-1, 16, 17, 0.5, NaN]) {
    assertThrows(() => bounced(memory).readVolatileFrom(at, source, 1), OutOfBounds);
    assertThrows(() => bounced(memory).writeVolatileTo(at, sink, 1), OutOfBounds);
  }
});

Deno.test("streams of over 1 MiB are bounced in parts of 1 MiB", () => {
  const length = 2 * CHUNK + 5;
  const { region, memory } = place(length);
  const content = Uint8Array.from({ length }, (_, i) => i * 3 + (i >> 8));
  assertEquals(bounced(memory).readVolatileFrom(0, new Cursor(content), length), CHUNK);
  bounced(memory).readExactVolatileFrom(0, new Cursor(content), length);
  assertEquals(region.content, content);
  assertEquals(region.asked.write, 4);
  const sink = new Cursor(new Uint8Array(length));
  assertEquals(bounced(memory).writeVolatileTo(0, sink, length), CHUNK);
  sink.position = 0;
  bounced(memory).writeAllVolatileTo(0, sink, length);
  assertEquals(sink.bytes, content);
  assertEquals(region.asked.read, 4);
});

Deno.test("the exact forms go on after what is short, and refuse what does not fit", () => {
  const { region, memory } = place();
  let next = 1;
  const source = {
    readSync(buffer: Uint8Array) {
      buffer[0] = next++;
      return 1;
    },
  };
  bounced(memory).readExactVolatileFrom(2, source, 5);
  assertEquals([...region.content.slice(1, 8)], [0, 1, 2, 3, 4, 5, 0]);
  const taken: number[] = [];
  const sink = {
    writeSync(buffer: Uint8Array) {
      taken.push(...buffer.subarray(0, 2));
      return Math.min(buffer.length, 2);
    },
  };
  bounced(memory).writeAllVolatileTo(2, sink, 5);
  assertEquals(taken, [1, 2, 3, 4, 5]);
  assertEquals(
    assertThrows(() => bounced(memory).readExactVolatileFrom(2, source, 15), OutOfBounds).address,
    17,
  );
  assertEquals(
    assertThrows(() => bounced(memory).writeAllVolatileTo(2, sink, 15), OutOfBounds).address,
    17,
  );
  assertEquals([next, taken.length], [6, 5]);
  bounced(memory).readExactVolatileFrom(99, source, 0);
  bounced(memory).writeAllVolatileTo(99, sink, 0);
});

Deno.test("the exact forms fail where the stream ends", () => {
  const { memory } = place();
  const eof = assertThrows(
    () => bounced(memory).readExactVolatileFrom(0, new Cursor(count(3)), 4),
    IOError,
  );
  assertEquals(eof.kind, "UnexpectedEof");
  const sink = new Cursor(new Uint8Array(3));
  const full = assertThrows(() => bounced(memory).writeAllVolatileTo(0, sink, 4), IOError);
  assertEquals(full.kind, "WriteZero");
});

Deno.test("a stream that fails leaves the memory as it is", () => {
  const { region, memory } = place();
  const source = {
    readSync(buffer: Uint8Array): never {
      buffer.fill(9);
      throw new Error("broken");
    },
  };
  assertThrows(() => bounced(memory).readVolatileFrom(0, source, 8), IOError, "broken");
  assertEquals([region.asked.write, region.content[0]], [0, 0]);
});
