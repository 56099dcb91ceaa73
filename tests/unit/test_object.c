/* SPDX-License-Identifier: Apache-2.0 */
/* A file is read before it is trusted: what is broken in it is refused or left out, and never read past its end. */
#include "unit.h"

#include "buf.h"
#include "object.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int copy_fd; /* of a file in memory */
static char copy_path[40];

static char *test_plugin(const char *name)
{
    return mem_printf("%s/tests/plugins/%s.so", getenv("TEST_BUILD_DIR"), name);
}

static struct object *read_plugin(const char *name)
{
    char *path cleanup_text = test_plugin(name), *why cleanup_text = NULL;
    struct object *object = object_read(path, &why);
    if (!object)
        fail_msg("%s", why);
    return object;
}

static bool has(const struct object_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], name) == 0)
            return true;
    return false;
}

/* ---- what is there ---------------------------------------------------------------------- */

static void test_object_names_libraries_and_versions(void **state)
{
    (void)state;
    struct object *object = read_plugin("faults/version");
    assert_true(has(&object->libraries, "libc.so.6"));
    bool found = false;
    for (size_t i = 0; i < object->version_count; i++)
        if (strcmp(object->versions[i].version, "GLIBC_2.99") == 0) {
            found = true;
            assert_string_equal(object->versions[i].library, "libc.so.6");
            assert_true(has(&object->versions[i].symbols, "future"));
        }
    assert_true(found);
    object_destroy(object);
}

static void test_object_names_what_it_offers(void **state)
{
    (void)state;
    char *path cleanup_text = mem_printf("%s/tests/libfuture.so", getenv("TEST_BUILD_DIR")), *why cleanup_text = NULL;
    struct object *object = object_read(path, &why);
    assert_non_null(object);
    assert_true(object_offers(object, "GLIBC_2.99"));
    assert_false(object_offers(object, "GLIBC_2.9"));
    object_destroy(object);
}

static void test_object_names_exports_and_variables(void **state)
{
    (void)state;
    struct object *object = read_plugin("faults/export");
    assert_true(has(&object->exports, "busbar_plugin"));
    assert_true(has(&object->exports, "parse_answer"));
    assert_int_equal(object->exports.count, 2);
    assert_int_equal(object->variable_count, 0);
    object_destroy(object);
    object = read_plugin("faults/globals");
    assert_int_equal(object->variable_count, 1);
    assert_string_equal(object->variables[0].name, "the_config");
    assert_int_equal(object->variables[0].size, sizeof(void *));
    object_destroy(object);
}

/* ---- what is broken ------------------------------------------------------------------------- */

static void write_copy(const char *bytes, size_t len)
{
    assert_int_equal(ftruncate(copy_fd, 0), 0);
    assert_int_equal(pwrite(copy_fd, bytes, len, 0), len);
}

/* It may be refused or read; no sanitizer may have anything to say. True when it was read. */
static bool read_copy(const char *bytes, size_t len, const char *reason)
{
    char *why cleanup_text = NULL;
    write_copy(bytes, len);
    struct object *object = object_read(copy_path, &why);
    if (reason && (object || !strstr(why, reason)))
        fail_msg("\"%s\" does not say \"%s\"", object ? "" : why, reason);
    object_destroy(object);
    return object != NULL;
}

static void test_object_refuses_with_a_reason(void **state)
{
    const struct object *good = *state;
    char *bytes = mem_alloc(good->len);
    memcpy(bytes, good->bytes, good->len);
    ElfW(Ehdr) *head = (void *)bytes;
    read_copy("", 0, "it is no ELF file");
    read_copy(bytes, sizeof *head - 1, "it is no ELF file");
    read_copy(bytes, sizeof *head, "no dynamic segment");
    head->e_machine = EM_AVR;
    read_copy(bytes, good->len, "another kind of machine");
    head->e_machine = ((const ElfW(Ehdr) *)(const void *)good->bytes)->e_machine;
    head->e_ident[EI_CLASS] = ELFCLASSNONE;
    read_copy(bytes, good->len, "another kind of machine");
    memcpy(bytes, good->bytes, good->len);
    head->e_type = ET_REL;
    read_copy(bytes, good->len, "link it with -shared");
    free(bytes);
    char *why cleanup_text = NULL;
    assert_null(object_read("/", &why));
    assert_string_equal(why, "it is no file of less than 1 GiB");
}

static void test_object_survives_being_cut_short(void **state)
{
    const struct object *good = *state;
    size_t read = 0;
    for (size_t len = 0; len < good->len; len += 61)
        read += read_copy(good->bytes, len, NULL);
    assert_true(read > 0); /* without its sections it is still loaded by its segments */
}

/* Each word of the head, of the tables of segments and sections, and of the dynamic segment, says something absurd. */
static void test_object_survives_absurd_numbers(void **state)
{
    const struct object *good = *state;
    static const uint64_t absurd[] = {0, 1, UINT32_MAX, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
    char *bytes = mem_alloc(good->len);
    const ElfW(Ehdr) *head = (const void *)good->bytes;
    const struct {
        size_t from, bytes;
    } parts[] = {{16, sizeof *head - 16},
                 {head->e_phoff, (size_t)head->e_phnum * head->e_phentsize},
                 {head->e_shoff, (size_t)head->e_shnum * head->e_shentsize}};
    size_t tried = 0;
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
        for (size_t at = parts[p].from; at + 8 <= parts[p].from + parts[p].bytes; at += 4)
            for (size_t a = 0; a < sizeof absurd / sizeof *absurd; a++, tried++) {
                memcpy(bytes, good->bytes, good->len);
                memcpy(bytes + at, &absurd[a], a % 2 ? 8 : 4);
                (void)read_copy(bytes, good->len, NULL);
            }
    assert_true(tried > 1000);
    free(bytes);
}

/* Noise all over the file, the same each time. */
static void test_object_survives_noise(void **state)
{
    const struct object *good = *state;
    char *bytes = mem_alloc(good->len);
    uint64_t seed = 88172645463325252u;
    for (int round = 0; round < 400; round++) {
        memcpy(bytes, good->bytes, good->len);
        for (int i = 0; i < 24; i++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            const size_t at = sizeof(ElfW(Ehdr)) + (size_t)(seed % (good->len - sizeof(ElfW(Ehdr))));
            bytes[at] = (char)(seed >> 32);
        }
        (void)read_copy(bytes, good->len, NULL);
    }
    free(bytes);
}

static int setup(void **state)
{
    copy_fd = memfd_create("object", MFD_CLOEXEC);
    assert_true(copy_fd >= 0);
    snprintf(copy_path, sizeof copy_path, "/proc/self/fd/%d", copy_fd);
    *state = read_plugin("faults/version");
    return 0;
}

static int teardown(void **state)
{
    object_destroy(*state);
    close(copy_fd);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_object_names_libraries_and_versions),
        cmocka_unit_test(test_object_names_what_it_offers),
        cmocka_unit_test(test_object_names_exports_and_variables),
        cmocka_unit_test(test_object_refuses_with_a_reason),
        cmocka_unit_test(test_object_survives_being_cut_short),
        cmocka_unit_test(test_object_survives_absurd_numbers),
        cmocka_unit_test(test_object_survives_noise),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
