// The calls that bench/start_bench.ts compares with, made by C alone.
//
//     native prefault BYTES THREADS    takes all pages, prints nanoseconds
//     native discard BYTES ROUNDS      discards and touches again, prints the best nanoseconds
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static char *memory;
static size_t size;
static int threads;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static void *populate(void *argument) {
  size_t part = size / threads;
  char *from = memory + part * (size_t)argument;
  if (madvise(from, part, MADV_POPULATE_WRITE) != 0) perror("madvise"), exit(1);
  return NULL;
}

int main(int count, char **arguments) {
  if (count != 4) return 2;
  size = strtoull(arguments[2], NULL, 10);
  memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return perror("mmap"), 1;
  if (strcmp(arguments[1], "prefault") == 0) {
    threads = atoi(arguments[3]);
    pthread_t ids[threads];
    double begin = now();
    for (size_t i = 0; i < (size_t)threads; i++) pthread_create(&ids[i], NULL, populate, (void *)i);
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    printf("%.0f\n", now() - begin);
    return 0;
  }
  double best = 1e18;
  for (int i = 0; i < atoi(arguments[3]); i++) {
    memset(memory, 1, size);
    double begin = now();
    if (madvise(memory, size, MADV_DONTNEED) != 0) return perror("madvise"), 1;
    double time = now() - begin;
    if (time < best) best = time;
  }
  printf("%.0f\n", best);
}
