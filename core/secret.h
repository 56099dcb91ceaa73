/* ${file:...} and ${env:...} in settings, resolved once while the configuration is read (a part of the
 * config room). What they held is a secret: it appears in no problem's text. */
#ifndef BUSBAR_SECRET_H
#define BUSBAR_SECRET_H

#include "problems.h"

#include <sys/stat.h>

/* A setting's text with its placeholders filled in, $${ made ${. Relative files are beside the file
 * that mark names. *secret: it held a placeholder. files: the paths that were read are added, each with its NUL.
 * NULL when a problem was added. gives */
char *secret_resolve(struct span text, struct mark mark, bool *secret, struct buf *files, struct problems *problems);

/* Whether others than its owner may change it (a problem), or read it (a warning). */
bool secret_file_is_safe(const char *path, const struct stat *info, struct mark mark, struct problems *problems);

/* path, or when it is relative, path beside `file`. gives */
char *path_beside(const char *file, const char *path);

#endif
