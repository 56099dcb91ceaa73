/* SPDX-License-Identifier: Apache-2.0 */
#include "loader.h"

#include "descriptor.h"
#include "object.h"
#include "problems.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef BUSBAR_PLUGIN_DIR
#define BUSBAR_PLUGIN_DIR "/usr/lib/busbar/plugins"
#endif

/* Never unloaded: a plugin may have left pointers in records that outlive a target, and a process
 * uses the few that its configuration names. The list keeps what was handed out valid and shared. */
static struct loaded {
    struct loaded_plugin plugin;
    struct loaded *next;
} * all_loaded;

/* ---- where plugins are ------------------------------------------------------ */

struct folders {
    char **items;
    size_t count, cap;
};

static void folders_add(struct folders *folders, char *folder /* takes */)
{
    folders->items = mem_grow(folders->items, &folders->cap, folders->count + 1, sizeof *folders->items);
    folders->items[folders->count++] = folder;
}

static void folders_finish(struct folders *folders)
{
    for (size_t i = 0; i < folders->count; i++)
        free(folders->items[i]);
    free(folders->items);
}

static void folders_find(struct folders *folders)
{
    const char *path = getenv("BUSBAR_PLUGIN_PATH");
    for (const char *at = path; at && *at;) {
        const char *end = strchrnul(at, ':');
        if (end > at)
            folders_add(folders, span_dup((struct span){at, (size_t)(end - at)}));
        at = *end ? end + 1 : end;
    }
    char binary[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", binary, sizeof binary - 1);
    if (len > 0) {
        binary[len] = '\0';
        *strrchr(binary, '/') = '\0';
        folders_add(folders, mem_printf("%s/../lib/busbar/plugins", binary));
        folders_add(folders, mem_printf("%s/plugins", binary));
    }
    folders_add(folders, mem_strdup(BUSBAR_PLUGIN_DIR));
}

static char *plugin_name_of_file(const char *file)
{
    size_t len = strlen(file);
    if (len <= 3 || strcmp(file + len - 3, ".so") != 0 || *file == '.')
        return NULL;
    return span_dup((struct span){file, len - 3});
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **loader_list(void)
{
    struct folders folders __attribute__((cleanup(folders_finish))) = {0};
    folders_find(&folders);
    char **names = NULL;
    size_t count = 0, cap = 0;
    for (size_t i = 0; i < folders.count; i++) {
        DIR *dir = opendir(folders.items[i]);
        for (struct dirent *entry; dir && (entry = readdir(dir));) {
            char *name = plugin_name_of_file(entry->d_name);
            if (!name)
                continue;
            names = mem_grow(names, &cap, count + 1, sizeof *names);
            names[count++] = name;
        }
        if (dir)
            closedir(dir);
    }
    if (count)
        qsort(names, count, sizeof *names, compare_names);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept && strcmp(names[kept - 1], names[i]) == 0)
            free(names[i]);
        else
            names[kept++] = names[i];
    }
    names = mem_grow(names, &cap, kept + 1, sizeof *names);
    names[kept] = NULL;
    return names;
}

/* ---- finding one ------------------------------------------------------------- */

static char *not_found(const char *name, const struct folders *folders)
{
    struct buf text = {0};
    buf_printf(&text, "no plugin %s; looked for", name);
    for (size_t i = 0; i < folders->count; i++)
        buf_printf(&text, "%s %s/%s.so", i ? "," : "", folders->items[i], name);
    char **known = loader_list();
    size_t count = 0;
    while (known[count])
        count++;
    const char *nearest = problems_nearest(span_of(name), (const char *const *)known, count);
    const size_t len = strlen(name);
    if (len > 3 && strcmp(name + len - 3, ".so") == 0)
        buf_printf(&text, "; did you mean ./%s? a path has a slash", name);
    else if (nearest)
        buf_printf(&text, "; did you mean %s?", nearest);
    for (size_t i = 0; i < count; i++)
        free(known[i]);
    free(known);
    return buf_steal(&text);
}

/* The file of a name or a path; NULL and *error when there is none. gives */
static char *find_file(const char *name, char **error)
{
    if (strchr(name, '/')) {
        if (access(name, F_OK) == 0)
            return mem_strdup(name);
        *error = errno == ENOENT ? mem_printf("no such file: %s", name)
                                 : mem_printf("%s cannot be opened: %s", name, strerror(errno));
        return NULL;
    }
    struct folders folders __attribute__((cleanup(folders_finish))) = {0};
    folders_find(&folders);
    for (size_t i = 0; i < folders.count; i++) {
        char *file = mem_printf("%s/%s.so", folders.items[i], name);
        if (access(file, F_OK) == 0)
            return file;
        free(file);
    }
    *error = not_found(name, &folders);
    return NULL;
}

/* ---- loading ------------------------------------------------------------------ */

static const struct loaded_plugin *find_loaded(const char *path)
{
    for (struct loaded *each = all_loaded; each; each = each->next)
        if (strcmp(each->plugin.path, path) == 0)
            return &each->plugin;
    return NULL;
}

/* Said before anything of it runs, and all at once, where the dynamic loader would say the first thing. */
static bool fits_machine(const char *path, char **error)
{
    char *why cleanup_text = NULL;
    struct buf libraries cleanup_buf = {0}, versions cleanup_buf = {0};
    struct object *object = object_read(path, &why);
    if (object)
        loader_find_lacks(object, path, &libraries, &versions);
    object_destroy(object);
    if (!why && !libraries.len && !versions.len)
        return true;
    *error = mem_printf("%s cannot be loaded: %s%s%s%s", path, why ? why : "", libraries.len ? libraries.data : "",
                        libraries.len && versions.len ? "; " : "", versions.len ? versions.data : "");
    return false;
}

static const struct loaded_plugin *open_file(const char *path, char **error)
{
    if (!fits_machine(path, error))
        return NULL;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        *error = mem_printf("%s cannot be loaded: %s", path, dlerror());
        return NULL;
    }
    const struct bb_plugin *theirs = dlsym(handle, "busbar_plugin");
    if (!theirs) {
        *error = mem_printf("%s is no plugin: it exports no busbar_plugin", path);
        return NULL;
    }
    struct bb_plugin descriptor;
    struct buf why cleanup_buf = {0};
    if (!descriptor_read(theirs, &descriptor, &why) || !descriptor_check(&descriptor, &why)) {
        *error = mem_printf("%s is refused: %s", path, why.data);
        return NULL;
    }
    struct loaded *loaded = mem_alloc(sizeof *loaded);
    loaded->plugin.descriptor = descriptor;
    loaded->plugin.path = mem_strdup(path);
    loaded->next = all_loaded;
    all_loaded = loaded;
    return &loaded->plugin;
}

char *loader_find(const char *name, char **error)
{
    *error = NULL;
    char *found cleanup_text = find_file(name, error);
    char *real = found ? realpath(found, NULL) : NULL;
    if (found && !real)
        *error = mem_printf("no such file: %s", found);
    return real;
}

const struct loaded_plugin *loader_load(const char *name, char **error)
{
    char *real cleanup_text = loader_find(name, error);
    if (!real)
        return NULL;
    const struct loaded_plugin *plugin = find_loaded(real);
    if (!plugin)
        plugin = open_file(real, error);
    if (plugin && !strchr(name, '/') && strcmp(plugin->descriptor.name, name) != 0) {
        *error = mem_printf("%s is refused: it calls itself %s, not %s", real, plugin->descriptor.name, name);
        return NULL;
    }
    return plugin;
}
