import { assert, assertEquals, assertFalse } from "@std/assert";
import {
  DescriptorClosed,
  DescriptorsLost,
  GuestMemoryError,
  LibcUnavailable,
  SystemError,
} from "../../mod.ts";

Deno.test("SystemError has the call, its arguments and why it failed", () => {
  const error = new SystemError("mmap", 12, "ENOMEM", { length: 4096, fd: -1 });
  assertEquals([error.name, error.call, error.errno, error.code], [
    ...["SystemError", "mmap", 12, "ENOMEM"],
  ]);
  assertEquals(error.message, "Cannot mmap(length: 4096, fd: -1): ENOMEM (errno 12)");
  assertEquals(new SystemError("sync", 5, "EIO").message, "Cannot sync(): EIO (errno 5)");
  assert(error instanceof Error);
});

Deno.test("LibcUnavailable has its name and its cause", () => {
  const cause = new Error("denied");
  const error = new LibcUnavailable("no FFI", { cause });
  assertEquals([error.name, error.message, error.cause], ["LibcUnavailable", "no FFI", cause]);
});

Deno.test("errors of the system are none of an access", () => {
  assertFalse(new SystemError("read", 9, "EBADF") instanceof GuestMemoryError);
  assertFalse(new LibcUnavailable() instanceof GuestMemoryError);
});

Deno.test("DescriptorClosed and DescriptorsLost have their names and data", () => {
  assertEquals(new DescriptorClosed("closed").name, "DescriptorClosed");
  const { name, bytes, received, message } = new DescriptorsLost(Uint8Array.of(1), 3);
  assertEquals([name, bytes, received], ["DescriptorsLost", Uint8Array.of(1), 3]);
  assertEquals(message.includes("3 came and were closed"), true);
});
