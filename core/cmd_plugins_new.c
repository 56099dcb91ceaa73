/* SPDX-License-Identifier: Apache-2.0 */
/* `busbar plugins new NAME`: a project that builds out of tree and whose tests pass as it stands. It is the example
 * acme under another name: where its files say acme or Acme, the new ones say the plugin's name or title. */
#include "cmd.h"

#include "buf.h"
#include "cmd_plugins.h"
#include "loader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_NAME 64

static const struct language {
    const char *name, *cmake, *sources; /* what `LANGUAGES C` and `SOURCES acme.c` of CMakeLists.txt become, */
    const char *files[3];               /* of the template: those that only it has */
} languages[] = {
    {"c", "LANGUAGES C", "SOURCES @.c", {"acme.c"}},
    {"c++", "LANGUAGES CXX", "SOURCES @.cpp", {"acme.cpp"}},
    {"rust", "LANGUAGES NONE", "SOURCES @.rs busbar.rs", {"acme.rs", "busbar.rs"}},
};
#define LANGUAGES (sizeof languages / sizeof *languages)

/* NULL, or what a name must be. */
static const char *name_fault(const char *name)
{
    static const char *const taken[] = {"bus", "all", "clean", "help", "install", "package", "test"};
    const size_t len = strlen(name);
    if (len == 0 || *name < 'a' || *name > 'z' || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != len)
        return "begins with a lower-case letter and goes on with lower-case letters, digits and _: acme_cmms";
    if (len > MOST_NAME)
        return "has 64 letters at most";
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcmp(name, taken[i]) == 0)
            return "is no word that busbar or CMake has a use for";
    return NULL;
}

/* acme_cmms becomes Acme cmms. */
static char *title_of(const char *name)
{
    char *title = mem_strdup(name);
    *title = (char)(*title - 'a' + 'A');
    for (char *c = title; *c; c++)
        if (*c == '_')
            *c = ' ';
    return title;
}

struct change {
    const char *from, *to;
};

/* Appends text with each change made wherever it applies, the first that does. */
static void rewrite(struct buf *out, const char *text, const struct change *changes, size_t count)
{
    while (*text) {
        size_t i = 0;
        while (i < count && strncmp(text, changes[i].from, strlen(changes[i].from)) != 0)
            i++;
        if (i == count) {
            buf_putc(out, *text++);
            continue;
        }
        buf_puts(out, changes[i].to);
        text += strlen(changes[i].from);
    }
}

/* Whether the template's file belongs to a plugin in this language: it is nobody's own, or this one's. */
static bool is_wanted(const char *path, const struct language *language)
{
    const struct language *owner = NULL;
    for (size_t l = 0; l < LANGUAGES; l++)
        for (size_t i = 0; i < 3 && languages[l].files[i]; i++)
            if (strcmp(path, languages[l].files[i]) == 0)
                owner = &languages[l];
    return !owner || owner == language;
}

static int write_file(const char *path, const struct buf *text)
{
    FILE *file = fopen(path, "wx");
    if (!file)
        return -1;
    const size_t written = fwrite(text->data, 1, text->len, file);
    return fclose(file) == 0 && written == text->len ? 0 : -1;
}

/* The example's; a new plugin's is its author's to choose. */
static const char licence_line[] = "/* SPDX-License-Identifier: Apache-2.0 */\n";

static int write_all(const char *name, const struct language *language)
{
    char *title cleanup_text = title_of(name);
    struct buf sources cleanup_buf = {0};
    rewrite(&sources, language->sources, &(struct change){"@", name}, 1);
    const struct change changes[] = {{licence_line, ""},
                                     {"LANGUAGES C", language->cmake},
                                     {"SOURCES acme.c", sources.data},
                                     {"acme", name},
                                     {"Acme", title}};
    const size_t count = sizeof changes / sizeof *changes;
    for (const struct plugin_template_file *file = plugin_template; file->path; file++) {
        struct buf path cleanup_buf = {0}, text cleanup_buf = {0};
        if (!is_wanted(file->path, language))
            continue;
        buf_printf(&path, "%s/", name);
        rewrite(&path, strcmp(file->path, "gitignore") == 0 ? ".gitignore" : file->path, changes, count);
        rewrite(&text, file->text, changes, count);
        if (write_file(path.data, &text) != 0) {
            fprintf(stderr, "busbar: cannot write %s: %s\n", path.data, strerror(errno));
            return CMD_NO;
        }
        puts(path.data);
    }
    return CMD_DONE;
}

int plugins_new(const char *name, const char *language)
{
    const char *fault = name_fault(name);
    size_t l = 0;
    while (language && l < LANGUAGES && strcmp(languages[l].name, language) != 0)
        l++;
    if (fault) {
        char *wrong cleanup_text = mem_printf("'%s' is no name for a plugin, which %s", name, fault);
        return cmd_usage(&cmd_plugins_new, wrong);
    }
    char *why cleanup_text = NULL, *there cleanup_text = loader_find(name, &why);
    if (there) {
        char *wrong cleanup_text =
            mem_printf("there is a plugin %s already, %s: by that name one of the two is found", name, there);
        return cmd_usage(&cmd_plugins, wrong);
    }
    if (l == LANGUAGES)
        return cmd_usage(&cmd_plugins_new, "--lang is c, c++ or rust");
    char *cases cleanup_text = mem_printf("%s/cases", name);
    if (mkdir(name, 0777) != 0) {
        fprintf(stderr, "busbar: %s: %s\n", name,
                errno == EEXIST ? "it exists already; nothing was written" : strerror(errno));
        return CMD_NO;
    }
    if (mkdir(cases, 0777) != 0) {
        fprintf(stderr, "busbar: %s: %s\n", cases, strerror(errno));
        return CMD_NO;
    }
    if (write_all(name, &languages[l]) != CMD_DONE)
        return CMD_NO;
    printf("next: cd %s && cmake -B build && cmake --build build && ctest --test-dir build --output-on-failure\n",
           name);
    return CMD_DONE;
}
