import { assertEquals } from "@std/assert";
import { Serial, SERIAL_PORT } from "../../../examples/microvm/serial.ts";

const text = new TextDecoder();

/** A serial port, what it sent so far, and the level of its interrupt line. */
function connect() {
  const sent: string[] = [];
  const levels: boolean[] = [];
  const serial = new Serial({
    output: (bytes) => sent.push(text.decode(bytes)),
    interrupt: (level) => levels.push(level),
  });
  return {
    serial,
    sent,
    levels,
    write: (register: number, value: number) => serial.write(SERIAL_PORT + register, value),
    read: (register: number) => serial.read(SERIAL_PORT + register),
    type: (typed: string) => serial.receive(new TextEncoder().encode(typed)),
  };
}

Deno.test("Serial sends a line when it is complete, and the rest when flushed", () => {
  const { serial, sent, write } = connect();
  for (const byte of new TextEncoder().encode("one\ntwo")) write(0, byte);
  assertEquals(sent, ["one\n"]);
  serial.flush();
  serial.flush();
  assertEquals(sent, ["one\n", "two"]);
});

Deno.test("Serial sends long lines in parts", () => {
  const { serial, sent, write } = connect();
  for (let i = 0; i < 2500; i++) write(0, 0x78);
  serial.flush();
  assertEquals(sent.map((part) => part.length), [1024, 1024, 452]);
});

Deno.test("Serial is ready to send at all times, and says when there is something to read", () => {
  const { read, type } = connect();
  assertEquals(read(5), 0x60);
  type("ab");
  assertEquals(read(5), 0x61);
  assertEquals([read(0), read(0), read(0)], [0x61, 0x62, 0]);
  assertEquals(read(5), 0x60);
});

Deno.test("Serial keeps its divisor, and what Linux detects a 16550A by", () => {
  const { read, write } = connect();
  write(3, 0x83); // DLAB
  write(0, 0x34);
  write(1, 0x12);
  assertEquals([read(0), read(1), read(3)], [0x34, 0x12, 0x83]);
  write(3, 0x03);
  assertEquals([read(0), read(1)], [0, 0]);
  write(7, 0x5a);
  assertEquals(read(7), 0x5a);
  write(2, 0x01); // FIFO
  assertEquals(read(2), 0xc1);
  // autoconfig() of drivers/tty/serial/8250/8250_port.c: loopback with OUT2 and RTS.
  write(4, 0x1a);
  assertEquals(read(6) & 0xf0, 0x90);
  write(4, 0);
  assertEquals(read(6), 0xb0);
});

Deno.test("Serial in loopback receives what it sends", () => {
  const { serial, sent, read, write } = connect();
  write(4, 0x10);
  write(0, 0x41);
  serial.flush();
  assertEquals([sent, read(5) & 1, read(0)], [[], 1, 0x41]);
});

Deno.test("Serial raises its interrupt while there is something to read, if enabled", () => {
  const { levels, read, write, type } = connect();
  type("a");
  assertEquals(levels, []);
  write(1, 0x01);
  assertEquals(levels, [true]);
  assertEquals(read(2), 0x04);
  type("b");
  assertEquals([read(0), levels.length], [0x61, 1]);
  read(0);
  assertEquals(levels, [true, false]);
  assertEquals(read(2), 0x01);
});

Deno.test("Serial raises its interrupt once for each time that the transmitter empties", () => {
  const { levels, read, write, sent } = connect();
  write(1, 0x02);
  assertEquals(levels, [true]);
  assertEquals(read(2), 0x02);
  assertEquals(levels, [true, false]);
  assertEquals(read(2), 0x01);
  write(0, 0x41);
  assertEquals(levels, [true, false, true]);
  write(1, 0);
  assertEquals(levels, [true, false, true, false]);
  assertEquals(sent, ["A"], "a driver that is done wants it shown");
});

Deno.test("Serial forgets what it received when the FIFO is cleared", () => {
  const { read, write, type } = connect();
  type("abc");
  write(2, 0x03);
  assertEquals(read(5), 0x60);
});
