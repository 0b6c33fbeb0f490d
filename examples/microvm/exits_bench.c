/* The exit loop of exits_bench.ts in C: the same guest, the same things done for each exit. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

static int check(const char *call, int result) {
  if (result < 0) {
    perror(call);
    exit(1);
  }
  return result;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  /* mov ecx, exits; mov dx, 0x80; again: out dx, al; dec ecx; jnz again; hlt */
  uint32_t exits = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
  uint8_t program[] = {0x66, 0xb9, 0, 0, 0, 0, 0xba, 0x80, 0x00, 0xee, 0x66, 0x49, 0x75, 0xfb, 0xf4};
  memcpy(program + 2, &exits, 4);

  int kvm = check("open /dev/kvm", open("/dev/kvm", O_RDWR | O_CLOEXEC));
  int vm = check("KVM_CREATE_VM", ioctl(kvm, KVM_CREATE_VM, 0));
  uint8_t *memory = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(memory + 0x1000, program, sizeof program);
  struct kvm_userspace_memory_region slot = {
      .memory_size = 0x10000, .userspace_addr = (uintptr_t)memory};
  check("KVM_SET_USER_MEMORY_REGION", ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot));
  int vcpu = check("KVM_CREATE_VCPU", ioctl(vm, KVM_CREATE_VCPU, 0));
  int size = check("KVM_GET_VCPU_MMAP_SIZE", ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
  volatile struct kvm_run *run =
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  struct kvm_sregs system;
  check("KVM_GET_SREGS", ioctl(vcpu, KVM_GET_SREGS, &system));
  system.cs.base = system.cs.selector = 0;
  check("KVM_SET_SREGS", ioctl(vcpu, KVM_SET_SREGS, &system));
  struct kvm_regs registers = {.rip = 0x1000, .rflags = 2};
  check("KVM_SET_REGS", ioctl(vcpu, KVM_SET_REGS, &registers));

  uint32_t counts[64] = {0};
  uint64_t sum = 0;
  double began = 0;
  for (;;) {
    check("KVM_RUN", ioctl(vcpu, KVM_RUN, 0));
    if (began == 0) began = now();
    counts[run->exit_reason]++;
    if (run->exit_reason != KVM_EXIT_IO) break;
    for (uint32_t i = 0; i < run->io.count; i++)
      sum += run->io.port + ((volatile uint8_t *)run)[run->io.data_offset + i * run->io.size];
  }
  double elapsed = now() - began;
  if (run->exit_reason != KVM_EXIT_HLT || counts[KVM_EXIT_IO] != exits) return 1;
  printf("%.0f %lu\n", exits / elapsed, (unsigned long)sum);
  return 0;
}
