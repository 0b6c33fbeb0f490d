import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { noise, TemporaryFile } from "../elf_builder.ts";
import { bzImage, elfKernel, PRINT_AND_RESET, PRINT_AND_WAIT, pvhNote } from "./images.ts";
import { kvmTest } from "./kvm_guest.ts";
import { assertFailed, assertRefused, bootImage, microvm, start } from "./program.ts";

kvmTest("microvm runs both built-in guests, and draws their memory", async () => {
  const { code, stdout, stderr } = await microvm([]);
  assertEquals([stderr, code], ["", 0]);
  for (const line of stdout.split("\n")) assert(line.length <= 80, `longer than 80: ${line}`);
  assert(!/[^\n\P{Cc}]/u.test(stdout), "control characters where there is no terminal");
  assertStringIncludes(stdout, "16 bits: I read this where the host wrote it, and print it.");
  assertStringIncludes(stdout, "one notification for all of this line, which a device reads.");
  assertStringIncludes(stdout, "61: 60 port access, 1 halt");
  assertStringIncludes(stdout, "80: 57 port access, 1 halt, 22 memory access");
  assertStringIncludes(stdout, "3 written by the host, 49 by the guest, 52 in all");
  assertStringIncludes(stdout, "11 written by the host, 124 by the guest, 130 in all");
  assertStringIncludes(
    stdout,
    "0x1c0000 ·····█████·████··█·····█·····█···█·······██····█···█·█·█·█",
  );
  assertMatch(stdout, /\n +0x0 ░░░░▓···█▓▓▓░░▓·+\n/);
  assertMatch(stdout, /first output after [\d.]+ m?s/);
});

Deno.test("microvm --help says how to use it, in 80 columns", async () => {
  const { code, stdout, stderr } = await microvm(["--help"]);
  assertEquals([stderr, code], ["", 0]);
  assertMatch(stdout, /^Usage: deno task microvm/);
  for (const line of stdout.split("\n")) assert(line.length <= 80, line);
});

const WRONG_ARGUMENTS: readonly (readonly [args: string[], reason: string])[] = [
  [["--nonsense"], "Unknown option '--nonsense' (see --help)"],
  [["kernel"], "Unexpected argument 'kernel'"],
  [["--kernel"], "argument missing"],
  [["--initrd", "x"], "--initrd needs --kernel"],
  [["--memory", "64M"], "--memory needs --kernel"],
  [["--kernel", "x", "--memory", "64"], 'cannot give the machine "64" of memory'],
  [["--kernel", "x", "--memory", "1M"], "from 2M to 1024G"],
  [["--kernel", "x", "--memory", "99999999G"], "from 2M to 1024G"],
];

for (const [args, reason] of WRONG_ARGUMENTS) {
  Deno.test(`microvm ${args.join(" ")} is refused`, async () => {
    assertRefused(await microvm(args), reason, 2);
  });
}

const linuxOnly = { ignore: Deno.build.os !== "linux" };

Deno.test("microvm without KVM says so", linuxOnly, async () => {
  assertRefused(await microvm(["--kvm", "/nonexistent/kvm"]), "there is no KVM here");
  assertRefused(await microvm(["--kvm", "/dev/null"]), "cannot use /dev/null: it is not KVM");
  assertRefused(await microvm(["--kvm", "/"]), "cannot open /: EISDIR");
});

Deno.test("microvm without permissions says which it needs", linuxOnly, async () => {
  assertRefused(await microvm([], ["--allow-read"]), "run with --allow-ffi");
});

kvmTest("microvm without permission to read says so", async () => {
  assertRefused(await microvm([], ["--allow-ffi"]), "run with --allow-read");
});

kvmTest("microvm refuses what is no kernel", async () => {
  assertRefused(await microvm(["--kernel", "/nonexistent/kernel"]), "there is no such file");
  assertRefused(await microvm(["--kernel", "/"]), "it is a directory");
  assertRefused(await bootImage(noise(5000, 1)), "it is not a kernel");
  assertRefused(await bootImage(new Uint8Array()), "it is not a kernel");
});

kvmTest("microvm refuses a kernel that does not fit in the memory", async () => {
  const large = elfKernel(new Uint8Array(5 * 2 ** 20));
  assertRefused(await bootImage(large), "it needs 5 MiB of memory at 0x100000, and the guest has");
  const unpacked = bzImage({ code: PRINT_AND_RESET, initSize: 16 * 2 ** 20 });
  assertRefused(await bootImage(unpacked), "it needs 16 MiB of memory at 0x100000");
});

kvmTest("microvm refuses other things that do not fit", async () => {
  const kernel = elfKernel(PRINT_AND_RESET);
  using initrd = new TemporaryFile(new Uint8Array(3 * 2 ** 20));
  const tooLarge = await bootImage(kernel, "--initrd", initrd.path);
  assertRefused(tooLarge, "do not fit between the kernel, which ends at 0x101000, and 0x400000");
  assertRefused(await bootImage(kernel, "--cmdline", "x".repeat(2048)), "at most 2047 fit");
  const short = bzImage({ code: PRINT_AND_RESET, commandLineSize: 255 });
  assertRefused(await bootImage(short, "--cmdline", "x".repeat(256)), "at most 255 fit");
  assertRefused(await bootImage(kernel, "--pvh"), "it has no PVH entry");
});

kvmTest("microvm boots an ELF file and a bzImage, and ends when they reset", async () => {
  for (const kernel of [elfKernel(PRINT_AND_RESET), bzImage({ code: PRINT_AND_RESET })]) {
    const { code, stdout, stderr } = await bootImage(kernel);
    assertEquals([stdout, code], ["ok\n", 0]);
    assertMatch(stderr, /^microvm: (ELF|bzImage), 64-bit entry at 0x100[02]00, 4 MiB/);
    assertMatch(stderr, /microvm: vCPU 0 reset the machine after [\d.]+ m?s and 4 exits.\n$/);
  }
});

kvmTest("microvm gives a kernel its command line and its initial RAM disk", async () => {
  const code = Uint8Array.of(
    ...[0x48, 0x89, 0xf5], // mov rbp, rsi: the zero page
    ...[0xba, 0xf8, 0x03, 0x00, 0x00], // mov edx, 0x3f8
    ...[0x8b, 0xb5, 0x28, 0x02, 0x00, 0x00], // mov esi, [rbp + 0x228]: cmd_line_ptr
    // next:
    ...[0xac, 0x84, 0xc0, 0x74, 0x03], // lodsb; test al, al; jz disk
    ...[0xee, 0xeb, 0xf8], // out dx, al; jmp next
    // disk:
    ...[0x8b, 0xb5, 0x18, 0x02, 0x00, 0x00], // mov esi, [rbp + 0x218]: ramdisk_image
    ...[0x8b, 0x8d, 0x1c, 0x02, 0x00, 0x00], // mov ecx, [rbp + 0x21c]: ramdisk_size
    ...[0xf3, 0x6e], // rep outsb
    ...[0xb0, 0xfe, 0xe6, 0x64], // mov al, 0xfe; out 0x64, al
  );
  const contents = "a disk of letters\n".repeat(400);
  using initrd = new TemporaryFile(new TextEncoder().encode(contents));
  const args = ["--initrd", initrd.path, "--cmdline", "hello kernel: "];
  for (const kernel of [elfKernel(code), bzImage({ code })]) {
    assertEquals((await bootImage(kernel, ...args)).stdout, `hello kernel: ${contents}`);
  }
});

kvmTest("microvm --pvh begins at the PVH entry, with the machine's description", async () => {
  const code = Uint8Array.of(
    ...[0x81, 0x3b, 0x78, 0xc5, 0x6e, 0x33], // cmp dword [ebx], 0x336ec578
    ...[0x75, 0x14], // jne bad
    ...[0x8b, 0x73, 0x18], // mov esi, [ebx + 24]: cmdline_paddr
    ...[0xba, 0xf8, 0x03, 0x00, 0x00], // mov edx, 0x3f8
    // next:
    ...[0xac, 0x84, 0xc0, 0x74, 0x03], // lodsb; test al, al; jz done
    ...[0xee, 0xeb, 0xf8], // out dx, al; jmp next
    // done:
    ...[0xb0, 0xfe, 0xe6, 0x64], // mov al, 0xfe; out 0x64, al
    // bad:
    ...[0x0f, 0x0b], // ud2
  );
  const entry = 0x18_0000;
  const kernel = elfKernel(PRINT_AND_RESET, { data: code, paddr: BigInt(entry) }, pvhNote(entry));
  const { code: exit, stdout, stderr } = await bootImage(kernel, "--pvh", "--cmdline", "hello");
  assertEquals([stdout, exit], ["hello", 0]);
  assertStringIncludes(stderr, "ELF, PVH entry at 0x180000");
});

kvmTest("microvm raises interrupt 4 for what is typed", async () => {
  const code = Uint8Array.of(
    ...[0xba, 0xf9, 0x03, 0x00, 0x00], // mov edx, 0x3f9: interrupt enable
    ...[0xb0, 0x01, 0xee], // mov al, 1; out dx, al
    // again:
    ...[0xb0, 0x0a, 0xe6, 0x20], // mov al, 0x0a; out 0x20, al: ask for requested interrupts
    ...[0xe4, 0x20, 0xa8, 0x10], // in al, 0x20; test al, 1 << 4
    ...[0x74, 0xf6], // jz again
    ...[0xba, 0xf8, 0x03, 0x00, 0x00], // mov edx, 0x3f8
    ...[0xec, 0xee], // in al, dx; out dx, al
    ...[0xb0, 0xfe, 0xe6, 0x64], // mov al, 0xfe; out 0x64, al
  );
  using file = new TemporaryFile(elfKernel(code));
  const child = start(["--kernel", file.path, "--memory", "4M"], "piped");
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode("!"));
  const { code: exit, stdout } = await child.output();
  await input.close().catch(() => {});
  assertEquals([new TextDecoder().decode(stdout), exit], ["!", 0]);
});

kvmTest("microvm says where a guest met a triple fault", async () => {
  const outcome = await bootImage(elfKernel(Uint8Array.of(0x0f, 0x0b))); // ud2
  assertFailed(outcome, "triple fault", "rip 0x", "rsp 0x", "cr3 0x");
});

kvmTest("microvm says where KVM gave up", async () => {
  const intoHole = Uint8Array.of(
    ...[0xb8, 0x00, 0x00, 0x00, 0xc0], // mov eax, 0xc0000000
    ...[0xff, 0xe0], // jmp rax
  );
  const outcome = await bootImage(elfKernel(intoHole));
  assertFailed(outcome, "internal error, suberror 1", "rip 0xc0000000", "cr3 0x9000");
});

kvmTest("microvm ends cleanly at a signal", async () => {
  using file = new TemporaryFile(elfKernel(PRINT_AND_WAIT));
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    const child = start(["--kernel", file.path, "--memory", "4M"]);
    const reader = child.stdout.getReader();
    assertEquals(new TextDecoder().decode((await reader.read()).value), "ok\n");
    reader.releaseLock();
    child.kill(signal);
    const { code, stderr } = await child.output();
    assertStringIncludes(new TextDecoder().decode(stderr), "vCPU 0 was stopped after");
    assertEquals(code, 130);
  }
});

kvmTest("microvm ends when nobody reads its output any more", async () => {
  const endless = Uint8Array.of(
    ...[0xba, 0xf8, 0x03, 0x00, 0x00], // mov edx, 0x3f8
    ...[0xb0, 0x0a], // mov al, "\n"
    ...[0xee, 0xeb, 0xfd], // again: out dx, al; jmp again
  );
  using file = new TemporaryFile(elfKernel(endless));
  const child = start(["--kernel", file.path, "--memory", "4M"]);
  await child.stdout.cancel();
  const stderr = await new Response(child.stderr).text();
  assertEquals((await child.status).code, 1);
  assertMatch(stderr, /\nmicrovm: .*pipe.*\n$/i);
});
