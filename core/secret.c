/* SPDX-License-Identifier: Apache-2.0 */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_BYTES_MAX 65536

char *path_beside(const char *file, const char *path)
{
    const char *slash = file != NULL ? strrchr(file, '/') : NULL;
    if (path[0] == '/' || slash == NULL)
        return mem_strdup(path);
    return mem_printf("%.*s/%s", (int)(slash - file), file, path);
}

static bool read_all(int fd, struct buf *out)
{
    size_t start = out->len;
    for (;;) {
        buf_reserve(out, 4096);
        ssize_t got = read(fd, out->data + out->len, 4096);
        if (got <= 0) {
            out->data[out->len] = '\0';
            return got == 0;
        }
        out->len += (size_t)got;
        if (out->len - start > SECRET_BYTES_MAX) {
            errno = EFBIG;
            return false;
        }
    }
}

/* Editors and `echo` end a file with a newline that is no part of the secret. */
static void strip_newline(struct buf *out, size_t start)
{
    if (out->len > start && out->data[out->len - 1] == '\n')
        out->len--;
    if (out->len > start && out->data[out->len - 1] == '\r')
        out->len--;
    out->data[out->len] = '\0';
}

bool secret_file_is_safe(const char *path, const struct stat *info, struct mark mark, struct problems *problems)
{
    if (S_ISREG(info->st_mode) && (info->st_mode & S_IWOTH) != 0) {
        problems_add(problems, mark, "secret file '%s' can be changed by everyone; chmod 600 it", path);
        return false;
    }
    if (S_ISREG(info->st_mode) && (info->st_mode & S_IROTH) != 0)
        problems_warn(problems, mark, "secret file '%s' can be read by everyone; chmod 600 it", path);
    return true;
}

static bool append_file(const char *path, struct mark mark, struct buf *out, struct problems *problems)
{
    size_t start = out->len;
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer must not hang us */
    bool good = fd >= 0 && fstat(fd, &info) == 0 && read_all(fd, out);
    if (!good)
        problems_add(problems, mark, "secret file '%s' cannot be read: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (!good)
        return false;
    strip_newline(out, start);
    if (out->len == start || memchr(out->data + start, '\0', out->len - start) != NULL) {
        problems_add(problems, mark, "secret file '%s' %s", path,
                     out->len == start ? "is empty" : "has a NUL byte in it");
        return false;
    }
    return secret_file_is_safe(path, &info, mark, problems);
}

static bool append_variable(const char *name, struct mark mark, struct buf *out, struct problems *problems)
{
    const char *value = getenv(name);
    if (value == NULL || value[0] == '\0') {
        problems_add(problems, mark, "environment variable '%s' is %s", name, value == NULL ? "not set" : "empty");
        return false;
    }
    buf_puts(out, value);
    return true;
}

/* inside: what stands between ${ and }. */
static bool append_placeholder(struct span inside, struct mark mark, struct buf *out, struct buf *files,
                               struct problems *problems)
{
    const char *colon = inside.len > 0 ? memchr(inside.data, ':', inside.len) : NULL;
    size_t kind_len = colon != NULL ? (size_t)(colon - inside.data) : 0;
    struct span kind = {inside.data, kind_len};
    cleanup_text char *name = colon != NULL ? span_dup((struct span){colon + 1, inside.len - kind_len - 1}) : NULL;
    if (name == NULL || name[0] == '\0' || (!span_is(kind, "file") && !span_is(kind, "env"))) {
        problems_add(
            problems, mark,
            "'${%.*s}' does not work here: a setting knows ${file:path} and ${env:NAME}, and $${ for a literal ${",
            (int)(inside.len < 64 ? inside.len : 64), inside.data);
        return false;
    }
    if (span_is(kind, "env"))
        return append_variable(name, mark, out, problems);
    cleanup_text char *path = path_beside(mark.file, name);
    buf_append(files, path, strlen(path) + 1);
    return append_file(path, mark, out, problems);
}

char *secret_resolve(struct span text, struct mark mark, bool *secret, struct buf *files, struct problems *problems)
{
    struct buf out = {0};
    bool good = true;
    *secret = false;
    for (size_t i = 0; i < text.len; i++) {
        struct span rest = {text.data + i, text.len - i};
        if (rest.len >= 3 && memcmp(rest.data, "$${", 3) == 0) {
            buf_puts(&out, "${");
            i += 2;
        } else if (rest.len >= 2 && memcmp(rest.data, "${", 2) == 0) {
            const char *end = memchr(rest.data, '}', rest.len);
            *secret = true;
            if (end == NULL) {
                problems_add(problems, mark, "'${' without its '}'; $${ is a literal ${");
                good = false;
                break;
            }
            struct span inside = {rest.data + 2, (size_t)(end - rest.data) - 2};
            good = append_placeholder(inside, mark, &out, files, problems) && good;
            i += inside.len + 2;
        } else {
            buf_putc(&out, text.data[i]);
        }
    }
    if (good)
        return buf_steal(&out);
    buf_finish(&out);
    return NULL;
}
