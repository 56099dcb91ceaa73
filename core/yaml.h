/* YAML files as a tree in which every node knows its file, line and column (libyaml's home).
 *
 * Anchors and aliases work (a merge key does not), duplicate keys, tags and documents after the first
 * are problems. Bytes, depth, nodes and alias expansion are capped. The tree owns all its text; it has
 * no NUL in it once it was read without errors. */
#ifndef BUSBAR_YAML_H
#define BUSBAR_YAML_H

#include "problems.h"

struct json_object;

enum yaml_kind { YAML_SCALAR = 1, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    struct mark mark;
    struct span text; /* scalar, NUL-terminated */
    bool plain;       /* scalar without quotes: may be a number, a bool, null */
    struct yaml_pair {
        struct yaml_node *key, *value; /* sequence: key is NULL */
    } * items;
    size_t count, cap;
};

struct yaml_tree;

/* Reads one file; NULL when it cannot be read or is no YAML (a problem says so). Marks borrow path. gives */
struct yaml_tree *yaml_read_file(const char *path, struct problems *problems);
/* The same from memory; name is for marks. */
struct yaml_tree *yaml_read_text(struct span text, const char *name, struct problems *problems);
const struct yaml_node *yaml_root(const struct yaml_tree *tree); /* NULL: empty */
void yaml_destroy(struct yaml_tree *tree);

const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key); /* NULL when absent */
bool yaml_is_null(const struct yaml_node *node);                                    /* NULL, or plain "", ~, null */
bool yaml_to_bool(const struct yaml_node *node, bool *out);                         /* true false (YAML 1.2 core) */
/* Plain scalars become null, bool, number (keeping its text) by the YAML 1.2 core schema, all else strings. gives */
struct json_object *yaml_to_json(const struct yaml_node *node);

#endif
