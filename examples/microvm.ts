/**
 * A virtual machine monitor in TypeScript, whose guest memory is this library.
 *
 * Run it with `deno task microvm`, or `deno run --allow-ffi --allow-read examples/microvm.ts`.
 *
 * | Module | What it is about |
 * | --- | --- |
 * | `machine.ts` | the whole: memory, virtual CPUs, devices |
 * | `kvm.ts`, `vm.ts`, `kvm_requests.ts`, `libc.ts` | how KVM is asked |
 * | `memory_slots.ts` | how the guest gets the library's memory |
 * | `vcpu_thread.ts`, `vcpu_worker.ts`, `messages.ts`, `kick.ts`, `spare_worker.ts` | a thread for each virtual CPU |
 * | `run_page.ts`, `exit_loop.ts`, `ending.ts` | why a guest exits, and what is done then |
 * | `port_bus.ts`, `serial.ts`, `keyboard_controller.ts` | devices with ports |
 * | `mmio_bus.ts`, `virtio_console.ts`, `virtio_mmio.ts`, `virtio_registers.ts` | a virtio device |
 * | `registers.ts`, `cpu_modes.ts`, `cpuid.ts` | how a virtual CPU begins |
 * | `layout.ts`, `e820.ts`, `zero_page.ts`, `setup_header.ts`, `pvh.ts` | what a kernel finds |
 * | `linux_boot.ts`, `elf_kernel.ts`, `bzimage.ts`, `image_file.ts` | how a kernel is loaded |
 * | `tiny_guests.ts`, `assembled.ts`, `tiny_driver.ts`, `hello.ts`, `page_picture.ts` | guests of a few bytes |
 * | `program.ts`, `arguments.ts`, `boot.ts`, `console.ts` | the program around it |
 * | `counting_view.ts`, `machine_view.ts`, `../view` | how its memory is shown in a browser |
 * | `paused_vm.ts`, `vcpu_state.ts` | a machine that pauses, for `clones.ts` and `snapshot_story.ts` |
 * | `fetch_kernel.ts`, `unpack_kernel.ts`, `lz4.ts` | where to get a kernel |
 * | `exits_bench.ts`, `first_exit.ts` | how fast it is |
 *
 * @module
 */
import { startSpareWorker } from "./microvm/spare_worker.ts";

if (import.meta.main) {
  startSpareWorker();
  const { main } = await import("./microvm/program.ts");
  // A read of the terminal may be pending, which would keep the program: it ends here.
  Deno.exit(await main(Deno.args));
}
