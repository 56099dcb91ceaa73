/* What members.def becomes: rows with an offset and a size, or a value. */
#ifndef TEST_ABI_MEMBERS_H
#define TEST_ABI_MEMBERS_H

struct abi_member {
    const char *name;
    size_t offset, size;
    long value;
};

#define M(type, member) {#type "." #member, offsetof(struct type, member), sizeof(((struct type *)0)->member), 0},
#define V(name) {#name, 0, 0, (long)(name)},

#endif
