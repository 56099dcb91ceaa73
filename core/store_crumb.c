/* SPDX-License-Identifier: Apache-2.0 */
/* Design notes
 *
 * <store>.crumb is one small file mapped into memory: a store to it costs nothing and survives the process,
 * not a power cut. Each slot keeps two things: what is being worked on now (value), and what some process
 * died of (suspect, deaths). They have different lives:
 *   open    value left behind -> it is the suspect; deaths counts on when it was the suspect already
 *           value 0           -> the last process did not die here; the suspect stays under suspicion,
 *                                for it may not have come by again (a stop before the broker sent it)
 *   set     value
 *   clear   value worked out well: were it the suspect, it is forgotten
 * After a power cut the file is what the kernel happened to write back at some time: it speaks of what was long over,
 * or says "nothing was sent" of what was. So it carries the kernel's boot id, and of another boot it is begun anew. A
 * kill between two stores of clear or open at worst counts a death once too often or once too seldom. */
#include "store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS 2
#define MAGIC UINT64_C(0x32626d7572637362) /* "bscrumb2" */

struct slot {
    _Atomic uint64_t value, suspect, deaths;
};

struct crumb_file {
    _Atomic uint64_t magic, boot;
    struct slot slots[SLOTS];
};

struct crumbs {
    struct crumb_file *file;
    struct {
        uint64_t value;
        int deaths;
    } found[SLOTS];
};

static void find(struct crumbs *crumbs, size_t which)
{
    struct slot *slot = &crumbs->file->slots[which];
    uint64_t left = atomic_load(&slot->value);
    if (left != 0) {
        uint64_t before = left == atomic_load(&slot->suspect) ? atomic_load(&slot->deaths) : 0;
        atomic_store(&slot->deaths, before < INT32_MAX ? before + 1 : before);
        atomic_store(&slot->suspect, left);
        atomic_store(&slot->value, 0);
    }
    crumbs->found[which].value = atomic_load(&slot->suspect);
    crumbs->found[which].deaths = crumbs->found[which].value ? (int)atomic_load(&slot->deaths) : 0;
}

static uint64_t boot_number(void)
{
    char id[64] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, id, sizeof id) : 0;
    if (fd >= 0)
        close(fd);
    return digest_fast((struct span){id, got > 0 ? (size_t)got : 0}, 0);
}

struct crumbs *crumbs_open(const char *store_path, char **error)
{
    cleanup_text char *path = mem_printf("%s.crumb", store_path);
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    void *memory = MAP_FAILED;
    /* Room is taken beforehand: a full disk must not become a signal later. */
    if (fd >= 0 && (errno = posix_fallocate(fd, 0, sizeof(struct crumb_file))) == 0)
        memory = mmap(NULL, sizeof(struct crumb_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        *error = mem_printf("cannot keep %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (memory == MAP_FAILED)
        return NULL;

    struct crumbs *crumbs = mem_alloc(sizeof *crumbs);
    crumbs->file = memory;
    uint64_t boot = boot_number();
    if (atomic_load(&crumbs->file->magic) != MAGIC || atomic_load(&crumbs->file->boot) != boot) {
        memset(memory, 0, sizeof(struct crumb_file)); /* new, of another layout, or of another boot */
        atomic_store(&crumbs->file->boot, boot);
        atomic_store(&crumbs->file->magic, MAGIC);
    }
    for (size_t i = 0; i < SLOTS; i++)
        find(crumbs, i);
    return crumbs;
}

void crumbs_close(struct crumbs *crumbs)
{
    if (!crumbs)
        return;
    munmap(crumbs->file, sizeof *crumbs->file);
    free(crumbs);
}

void store_crumb_set(struct store *store, enum store_crumb which, uint64_t value)
{
    if (store->crumbs)
        atomic_store_explicit(&store->crumbs->file->slots[which].value, value, memory_order_relaxed);
}

void store_crumb_clear(struct store *store, enum store_crumb which)
{
    if (!store->crumbs)
        return;
    struct slot *slot = &store->crumbs->file->slots[which];
    uint64_t value = atomic_load_explicit(&slot->value, memory_order_relaxed);
    if (value != 0 && value == atomic_load_explicit(&slot->suspect, memory_order_relaxed)) {
        atomic_store(&slot->suspect, 0);
        atomic_store(&slot->deaths, 0);
    }
    atomic_store_explicit(&slot->value, 0, memory_order_relaxed);
}

uint64_t store_crumb_found(const struct store *store, enum store_crumb which, int *deaths)
{
    *deaths = store->crumbs ? store->crumbs->found[which].deaths : 0;
    return store->crumbs ? store->crumbs->found[which].value : 0;
}
