/*
 * Lets a device write to memory that the processor only reads: dma DISK BLOCKS STOP
 *
 * Reads blocks of DISK, by chance, past the page cache into the slots of one buffer. Before a slot
 * is used again, and in the end, it has to hold the block that was last read into it. What is in a
 * block follows from its number (see pattern.ts). A migration whose device reports no writes leaves
 * old blocks in slots, as nothing else marks these pages.
 *
 * Ends once the file STOP exists. Prints how many blocks were read and how many slots were wrong.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK = 4096, WORDS = BLOCK / 4, SLOTS = 2048 };

static uint32_t last[SLOTS];

/* The first block is block 1 here: 0 says that nothing has been read into a slot. */
static int is_right(const uint32_t *slot, uint32_t block)
{
	if (block == 0)
		return 1;
	for (uint32_t i = 0; i < WORDS; i++)
		if (slot[i] != (block - 1) * 0x9e3779b1u + i)
			return 0;
	return 1;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	uint32_t blocks = strtoul(argv[2], NULL, 10);
	int disk = open(argv[1], O_RDONLY | O_DIRECT);
	char *buffer = aligned_alloc(BLOCK, (size_t)SLOTS * BLOCK);
	if (disk < 0 || !buffer || blocks == 0) {
		perror(argv[1]);
		return 2;
	}
	uint64_t random = 88172645463325252u;
	unsigned long reads = 0, wrong = 0;
	while (access(argv[3], F_OK) != 0) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		uint32_t slot = random % SLOTS;
		uint32_t block = (random >> 32) % blocks;
		char *place = buffer + (size_t)slot * BLOCK;
		wrong += !is_right((uint32_t *)place, last[slot]);
		if (pread(disk, place, BLOCK, (off_t)block * BLOCK) != BLOCK) {
			perror("pread");
			return 2;
		}
		last[slot] = block + 1;
		reads++;
	}
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		wrong += !is_right((uint32_t *)(buffer + (size_t)slot * BLOCK), last[slot]);
	printf("%lu read, %lu wrong\n", reads, wrong);
	return wrong == 0 ? 0 : 1;
}
