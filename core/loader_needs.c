/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a library is there is asked of the dynamic loader itself, which would load it with the plugin anyway: what is
 * in its cache and search path is its own affair. */
#include "loader.h"

#include "object.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_SYMBOLS 3 /* named of each version */

/* A library in a folder of the plugin's own search path, whose $ORIGIN is the plugin's folder. gives, or NULL */
static char *in_run_path(const struct object *object, const char *path, const char *library)
{
    const char *slash = strrchr(path, '/');
    const struct span origin = slash ? (struct span){path, (size_t)(slash - path)} : SPAN(".");
    for (const char *at = object->run_path; at && *at;) {
        const char *end = strchrnul(at, ':');
        struct buf file = {0};
        while (at < end) {
            const size_t skip = strncmp(at, "$ORIGIN", 7) == 0 ? 7 : strncmp(at, "${ORIGIN}", 9) == 0 ? 9 : 0;
            if (skip)
                buf_append(&file, origin.data, origin.len);
            else
                buf_putc(&file, *at);
            at += skip ? skip : 1;
        }
        buf_printf(&file, "/%s", library);
        if (access(file.data, R_OK) == 0)
            return buf_steal(&file);
        buf_finish(&file);
        at = *end ? end + 1 : end;
    }
    return NULL;
}

/* The file that a library's name leads to. gives; NULL and *reason (the dynamic loader's) when there is none */
static char *find_library(const struct object *object, const char *path, const char *library, const char **reason)
{
    char *own cleanup_text = strchr(library, '/') ? NULL : in_run_path(object, path, library);
    void *handle = dlopen(own ? own : library, RTLD_LAZY | RTLD_LOCAL);
    struct link_map *map = NULL;
    if (!handle) {
        *reason = dlerror();
        return NULL;
    }
    char *file = dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 ? mem_strdup(map->l_name) : mem_strdup(library);
    dlclose(handle);
    return file;
}

static void say_version(struct buf *out, const struct object_version *wanted, const char *file)
{
    buf_printf(out, "%sit needs %s of %s", out->len ? "; " : "", wanted->version, wanted->library);
    for (size_t i = 0; i < wanted->symbols.count && i < MOST_SYMBOLS; i++)
        buf_printf(out, "%s%s", i ? ", " : " for ", wanted->symbols.items[i]);
    if (strncmp(wanted->version, "GLIBC_", 6) == 0)
        buf_printf(out, ", and this machine has glibc %s: build it on a system that is not newer than this one",
                   gnu_get_libc_version());
    else
        buf_printf(out, ", which %s does not have: build it against the version that is here", file);
}

static void check_versions(const struct object *object, const char *library, const char *file, struct buf *out)
{
    char *why cleanup_text = NULL;
    struct object *there = NULL;
    for (size_t i = 0; i < object->version_count; i++) {
        const struct object_version *wanted = &object->versions[i];
        if (wanted->weak || strcmp(wanted->library, library) != 0)
            continue;
        if (!there && !(there = object_read(file, &why)))
            return; /* the dynamic loader found it: it is its judge */
        if (there->offers.count && !object_offers(there, wanted->version))
            say_version(out, wanted, file);
    }
    object_destroy(there);
}

void loader_find_lacks(const struct object *object, const char *path, struct buf *libraries, struct buf *versions)
{
    for (size_t i = 0; i < object->libraries.count; i++) {
        const char *library = object->libraries.items[i], *reason = NULL;
        char *file cleanup_text = find_library(object, path, library, &reason);
        if (file)
            check_versions(object, library, file, versions);
        else
            buf_printf(libraries,
                       "%sit needs the library %s, which cannot be loaded here (%s): install the package that has it, "
                       "or link it into the plugin",
                       libraries->len ? "; " : "", library, reason);
    }
}
