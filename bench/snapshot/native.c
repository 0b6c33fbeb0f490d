// The calls that bench/snapshot_bench.ts compares with, made by C alone. Linux 6.7.
//
//     native take BYTES DIRTY ROUNDS    protects all pages, writes DIRTY pages of 1000, takes them
//     native save BYTES PRESENT ROUNDS  writes PRESENT pages of 1000, which are present, to a file
//     native pack BYTES PRESENT ROUNDS  the same in the compact form: a table, and data behind it
//     native clone BYTES 0 ROUNDS       maps a file privately, and reads a byte of it
//
// Prints, as JSON, the best nanoseconds: of arming, of the call alone, and with its marks in a bitmap;
// of saving, or of cloning. The files are in /dev/shm.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// linux/userfaultfd.h and linux/fs.h, which may be older here than the kernel.
struct api { uint64_t api, features, ioctls; };
struct registration { uint64_t start, len, mode, ioctls; };
struct region { uint64_t start, end, categories; };
struct scan {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t inverted, mask, anyof, returned;
};
#define API _IOWR(0xaa, 0x3f, struct api)
#define REGISTER _IOWR(0xaa, 0, struct registration)
#define SCAN _IOWR('f', 16, struct scan)
#define WRITTEN 2
#define PRESENT 8
#define SWAPPED 16
#define ZERO 32

static struct region regions[65536];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static void fail(const char *call) {
  perror(call);
  exit(1);
}

static int scratch(void) {
  char path[] = "/dev/shm/snapshot-XXXXXX";
  int file = mkstemp(path);
  if (file < 0) fail("mkstemp");
  unlink(path);
  return file;
}

static char *touched(size_t size, size_t page, int present) {
  char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  for (size_t at = 0; at < size; at += page * 1000 / present) memory[at] = 1;
  return memory;
}

static int save(size_t size, size_t page, int present, int rounds) {
  char *memory = touched(size, page, present);
  int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), file = scratch();
  double best = 1e18;
  for (int round = 0; round < rounds; round++) {
    if (ftruncate(file, 0) != 0) fail("ftruncate");
    double begin = now();
    if (ftruncate(file, size) != 0) fail("ftruncate");
    for (uint64_t from = (uintptr_t)memory;;) {
      struct scan scan = {sizeof scan, 0, from, (uintptr_t)memory + size, 0, (uintptr_t)regions,
                          65536, 0, ZERO, ZERO, PRESENT | SWAPPED, 0};
      long runs = ioctl(pagemap, SCAN, &scan);
      if (runs < 0) fail("scan");
      for (long i = 0; i < runs; i++) {
        size_t length = regions[i].end - regions[i].start;
        off_t at = regions[i].start - (uintptr_t)memory;
        if (pwrite(file, (void *)regions[i].start, length, at) != (ssize_t)length) fail("pwrite");
      }
      if (runs < 65536) break;
      from = regions[runs - 1].end;
    }
    double time = now() - begin;
    if (time < best) best = time;
  }
  printf("{\"save\":%.0f}\n", best);
  return 0;
}

// docs/snapshot_files.md has the format. All runs are listed first, as the table comes first.
static int pack(size_t size, size_t page, int present, int rounds) {
  char *memory = touched(size, page, present);
  int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), file = scratch();
  uint64_t *table = malloc(40 + size / page * 16);
  double best = 1e18;
  for (int round = 0; round < rounds; round++) {
    if (ftruncate(file, 0) != 0) fail("ftruncate");
    double begin = now();
    uint64_t count = 0, bytes = 0, *entries = table + 5;
    for (uint64_t from = (uintptr_t)memory;;) {
      struct scan scan = {sizeof scan, 0, from, (uintptr_t)memory + size, 0, (uintptr_t)regions,
                          65536, 0, ZERO, ZERO, PRESENT | SWAPPED, 0};
      long runs = ioctl(pagemap, SCAN, &scan);
      if (runs < 0) fail("scan");
      for (long i = 0; i < runs; i++, count++) {
        entries[2 * count] = regions[i].start - (uintptr_t)memory;
        bytes += entries[2 * count + 1] = regions[i].end - regions[i].start;
      }
      if (runs < 65536) break;
      from = regions[runs - 1].end;
    }
    uint64_t data = (40 + count * 16 + page - 1) / page * page;
    memcpy(table, "VMMDIFF", 8);
    table[1] = 1 | (uint64_t)page << 32, table[2] = size, table[3] = count, table[4] = data;
    if (ftruncate(file, data + bytes + 1) != 0) fail("ftruncate");
    if (pwrite(file, table, 40 + count * 16, 0) < 0) fail("pwrite");
    off_t at = data;
    for (uint64_t first = 0; first < count; first += 1024) {
      struct iovec pieces[1024];
      uint64_t some = count - first < 1024 ? count - first : 1024, length = 0;
      for (uint64_t i = 0; i < some; i++) {
        pieces[i].iov_base = memory + entries[2 * (first + i)];
        length += pieces[i].iov_len = entries[2 * (first + i) + 1];
      }
      if (pwritev(file, pieces, some, at) != (ssize_t)length) fail("pwritev");
      at += length;
    }
    if (ftruncate(file, data + bytes) != 0) fail("ftruncate");
    double time = now() - begin;
    if (time < best) best = time;
  }
  printf("{\"save\":%.0f}\n", best);
  return 0;
}

static int clone_file(size_t size, int rounds) {
  int file = scratch();
  if (ftruncate(file, size) != 0 || pwrite(file, "x", 1, size / 2) != 1) fail("pwrite");
  double best = 1e18;
  for (int round = 0; round < rounds; round++) {
    double begin = now();
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, 0);
    if (memory == MAP_FAILED) fail("mmap");
    if (((volatile char *)memory)[size / 2] != 'x') return 3;
    double time = now() - begin;
    if (time < best) best = time;
    munmap(memory, size);
  }
  printf("{\"clone\":%.0f}\n", best);
  return 0;
}

int main(int count, char **arguments) {
  if (count != 5) return 2;
  size_t size = strtoull(arguments[2], NULL, 10), page = sysconf(_SC_PAGESIZE);
  int dirty = atoi(arguments[3]), rounds = atoi(arguments[4]);
  if (strcmp(arguments[1], "save") == 0) return save(size, page, dirty, rounds);
  if (strcmp(arguments[1], "pack") == 0) return pack(size, page, dirty, rounds);
  if (strcmp(arguments[1], "clone") == 0) return clone_file(size, rounds);
  char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  for (size_t at = 0; at < size; at += page) memory[at] = 1;
  uint64_t *bitmap = calloc(size / page / 64 + 1, 8);
  int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | 1);
  struct api api = {0xaa, 0x1000 | 0x2000 | 0x8000, 0};
  if (uffd < 0 || ioctl(uffd, API, &api) != 0) fail("userfaultfd");
  struct registration registration = {(uintptr_t)memory, size, 2, 0};
  if (ioctl(uffd, REGISTER, &registration) != 0) fail("register");
  int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  struct scan arm = {sizeof arm, 3, (uintptr_t)memory, (uintptr_t)memory + size};
  double begin = now();
  if (ioctl(pagemap, SCAN, &arm) < 0) fail("scan");
  double armed = now() - begin, bare = 1e18, marked = 1e18;
  for (int round = 0; round < 2 * rounds; round++) {
    size_t pages = 0;
    if (dirty > 0) {
      for (size_t at = 0; at < size; at += page * 1000 / dirty) memory[at]++, pages++;
    }
    memset(bitmap, 0, size / page / 8);
    size_t found = 0;
    double begin = now();
    for (uint64_t from = (uintptr_t)memory;;) {
      struct scan scan = {sizeof scan, 1, from, (uintptr_t)memory + size, 0,
                          (uintptr_t)regions, 65536, 0, 0, WRITTEN, 0, WRITTEN};
      long runs = ioctl(pagemap, SCAN, &scan);
      if (runs < 0) fail("scan");
      for (long i = 0; round % 2 == 1 && i < runs; i++) {
        size_t first = (regions[i].start - (uintptr_t)memory) / page;
        size_t last = (regions[i].end - (uintptr_t)memory) / page;
        for (size_t bit = first; bit < last; bit++, found++) {
          uint64_t mask = 1ull << bit % 64;
          if (!(__atomic_load_n(&bitmap[bit / 64], __ATOMIC_SEQ_CST) & mask)) {
            __atomic_fetch_or(&bitmap[bit / 64], mask, __ATOMIC_SEQ_CST);
          }
        }
      }
      if (runs < 65536) break;
      from = regions[runs - 1].end;
    }
    double time = now() - begin;
    double *best = round % 2 == 1 ? &marked : &bare;
    if (time < *best) *best = time;
    if (round % 2 == 1 && found != pages) return 3;
  }
  printf("{\"arm\":%.0f,\"bare\":%.0f,\"marked\":%.0f}\n", armed, bare, marked);
}
