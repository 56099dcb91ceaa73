/* SPDX-License-Identifier: Apache-2.0 */
/* How far SQLite reads the write-ahead log that a dead process left, and what stands behind that.
 *
 * Each frame is checked together with all before it; at the first that is wrong SQLite stops, and says nothing. After a
 * power cut that is the unsynced end: one commit at most, of which nobody was told. More than one behind it are commits
 * that were synced (the log was damaged), or that failed and were written over (a disk that was full). It cannot be
 * seen which, so it is said and no more. The format: https://sqlite.org/fileformat2.html#walformat */
#include "store_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 32
#define FRAME_HEADER 24
#define MAGIC 0x377f0682u /* the last bit: checksums of big-endian words */
#define PAGE_MOST 65536

struct sum {
    uint32_t a, b;
};

static uint32_t big(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t little(const unsigned char *at)
{
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static struct sum add(struct sum sum, bool is_big, const unsigned char *data, size_t len)
{
    for (size_t i = 0; i + 8 <= len; i += 8) {
        sum.a += (is_big ? big(data + i) : little(data + i)) + sum.b;
        sum.b += (is_big ? big(data + i + 4) : little(data + i + 4)) + sum.a;
    }
    return sum;
}

static bool is_sum(struct sum sum, const unsigned char *at)
{
    return sum.a == big(at) && sum.b == big(at + 4);
}

static int64_t count_behind(FILE *file, unsigned char *frame)
{
    unsigned char header[HEADER];
    if (fread(header, 1, HEADER, file) != HEADER || (big(header) & ~1u) != MAGIC)
        return 0;
    bool is_big = (big(header) & 1) != 0, good = true;
    size_t page = big(header + 8);
    struct sum sum = add((struct sum){0, 0}, is_big, header, 24);
    if (page < 512 || page > PAGE_MOST || !is_sum(sum, header + 24))
        return 0;
    int64_t behind = 0;
    while (fread(frame, 1, FRAME_HEADER + page, file) == FRAME_HEADER + page) {
        bool of_this_log = memcmp(frame + 8, header + 16, 8) == 0, commits = big(frame + 4) != 0;
        if (good) {
            sum = add(add(sum, is_big, frame, 8), is_big, frame + FRAME_HEADER, page);
            good = of_this_log && is_sum(sum, frame + 16);
        }
        behind += !good && of_this_log && commits;
    }
    return behind;
}

int64_t store_count_unread(const char *store_path)
{
    cleanup_text char *path = mem_printf("%s-wal", store_path);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    unsigned char *frame = mem_alloc(FRAME_HEADER + PAGE_MOST);
    int64_t behind = count_behind(file, frame);
    free(frame);
    fclose(file);
    return behind;
}
