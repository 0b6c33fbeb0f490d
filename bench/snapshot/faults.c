// A handler of page faults in C, which bench/snapshot_bench.ts compares with: a thread that copies each
// page from a mapped file. Linux 4.11.
//
//     faults fault BYTES 0 PAGES   reads a byte of PAGES pages, far from each other
//     faults load BYTES 0 1        copies all pages, 16 at a time, between looks for faults
//
// Prints, as JSON, the median nanoseconds of a fault, or those of all. The file is in /dev/shm.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// linux/userfaultfd.h
struct api { uint64_t api, features, ioctls; };
struct registration { uint64_t start, len, mode, ioctls; };
struct copy { uint64_t to, from, len, mode; int64_t copied; };
struct message { uint8_t event, unused[7]; uint64_t flags, address, rest; };
#define API _IOWR(0xaa, 0x3f, struct api)
#define REGISTER _IOWR(0xaa, 0, struct registration)
#define COPY _IOWR(0xaa, 3, struct copy)
#define EVENT_REMOVE 8

static int uffd;
static char *memory, *source;
static size_t size, page;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static void fail(const char *call) {
  perror(call);
  exit(1);
}

static int serve(void) {
  struct message message;
  if (read(uffd, &message, sizeof message) != sizeof message) return 0;
  uint64_t at = message.address & ~(uint64_t)(page - 1);
  struct copy copy = {at, (uintptr_t)source + (at - (uintptr_t)memory), page, 0, 0};
  if (ioctl(uffd, COPY, &copy) != 0 && errno != EEXIST) fail("copy");
  return 1;
}

static void *handle(void *unused) {
  (void)unused;
  for (;;) {
    struct pollfd ready = {uffd, POLLIN, 0};
    poll(&ready, 1, -1);
    serve();
  }
}

static void *load(void *unused) {
  (void)unused;
  for (size_t at = 0; at < size; at += 16 * page) {
    while (serve()) {}
    struct copy copy = {(uintptr_t)memory + at, (uintptr_t)source + at, 16 * page, 0, 0};
    if (ioctl(uffd, COPY, &copy) != 0) fail("copy");
  }
  return NULL;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

int main(int count, char **arguments) {
  if (count != 5) return 2;
  size = strtoull(arguments[2], NULL, 10), page = sysconf(_SC_PAGESIZE);
  int pages = atoi(arguments[4]);
  char path[] = "/dev/shm/faults-XXXXXX";
  int file = mkstemp(path);
  if (file < 0 || unlink(path) != 0 || ftruncate(file, size) != 0) fail("mkstemp");
  char *content = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  for (size_t at = 0; at < size; at += page) content[at] = 1;
  munmap(content, size);
  source = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
  memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (source == MAP_FAILED || memory == MAP_FAILED) fail("mmap");
  uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  struct api api = {0xaa, EVENT_REMOVE, 0};
  if (uffd < 0 || ioctl(uffd, API, &api) != 0) fail("userfaultfd");
  struct registration registration = {(uintptr_t)memory, size, 1, 0};
  if (ioctl(uffd, REGISTER, &registration) != 0) fail("register");
  pthread_t thread;
  if (strcmp(arguments[1], "load") == 0) {
    double begin = now();
    pthread_create(&thread, NULL, load, NULL);
    pthread_join(thread, NULL);
    printf("{\"load\":%.0f}\n", now() - begin);
    return 0;
  }
  pthread_create(&thread, NULL, handle, NULL);
  size_t step = size / page / pages;
  double *times = calloc(pages, sizeof *times);
  for (int i = 0; i < pages; i++) {
    double begin = now();
    if (((volatile char *)memory)[(size_t)i * step * page] != 1) return 3;
    times[i] = now() - begin;
  }
  qsort(times, pages, sizeof *times, compare);
  printf("{\"fault\":%.0f,\"p95\":%.0f}\n", times[pages / 2], times[pages * 95 / 100]);
  return 0;
}
