/* A shared object as a file, read before anything of it is loaded or run: what it needs, what it exports, what it can
 * write to. Every offset in it is taken for a lie until it has been checked. Names point into the object and live as
 * long as it. Any thread. */
#ifndef BUSBAR_OBJECT_H
#define BUSBAR_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object_names {
    const char **items;
    size_t count, cap;
};

/* A symbol version that it takes from a library. */
struct object_version {
    const char *library, *version;
    bool weak; /* does without */
    unsigned index;
    struct object_names symbols; /* what it takes of that version */
};

struct object_variable {
    const char *name;
    uint64_t size;
};

struct object {
    struct object_names libraries; /* that it needs */
    const char *run_path;          /* where it looks for them first, or NULL */
    struct object_version *versions;
    size_t version_count, version_cap;
    struct object_names offers;  /* versions that it defines itself */
    struct object_names exports; /* strong symbols that others would see */
    struct object_variable *variables;
    size_t variable_count, variable_cap; /* objects in sections that can be written to */
    char *bytes;
    size_t len;
};

/* NULL and *why (gives) when it is no shared object of this kind of machine, or a broken one. gives */
struct object *object_read(const char *path, char **why);
void object_destroy(struct object *object); /* NULL is legal */
bool object_offers(const struct object *object, const char *version);

#endif
