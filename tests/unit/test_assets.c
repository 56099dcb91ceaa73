/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "assets.h"
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test-assets-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    cleanup_text char *command = mem_printf("rm -r %s", folder);
    return system(command);
}

/* The map of a file with this text; NULL and what was said. */
static struct assets *load(const char *name, struct span text, char **said)
{
    static char path[128];
    struct problems problems = {0};
    cleanup_buf struct buf out = {0};
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fwrite(text.data, 1, text.len, file);
    fclose(file);
    struct assets *assets = assets_load(path, (struct mark){path, 1, 1}, &problems);
    for (size_t i = 0; i < problems.count; i++)
        buf_printf(&out, "%d: %s\n", problems.items[i].mark.line, problems.items[i].text);
    problems_finish(&problems);
    *said = buf_steal(&out);
    return assets;
}

/* "mw=..., assetic=..." of a tag, or "none". */
static void assert_row(const struct assets *assets, const char *tag, const char *expected)
{
    cleanup_buf struct buf out = {0};
    const struct span *cells = assets_find(assets, span_of(tag));
    for (size_t i = 0; cells != NULL && assets_columns(assets)[i] != NULL; i++)
        buf_printf(&out, "%s%s=%.*s", i > 0 ? " " : "", assets_columns(assets)[i], (int)cells[i].len, cells[i].data);
    assert_string_equal(cells != NULL ? out.data : "none", expected);
}

static void assert_loads(const char *name, const char *text)
{
    cleanup_text char *said = NULL;
    struct assets *assets = load(name, span_of(text), &said);
    assert_string_equal(said, "");
    assert_int_equal(assets_count(assets), 3);
    assert_row(assets, "P-7", "mw=eq 17 assetic=007");
    assert_row(assets, "P,8", "mw=eq \"18\" assetic=");
    assert_row(assets, "9", "mw= assetic=x");
    assert_row(assets, "P-77", "none");
    assert_row(assets, "", "none");
    assets_destroy(assets);
}

static void test_assets_from_csv_and_yaml(void **state)
{
    (void)state;
    assert_loads("a.csv", "tag,mw,assetic\nP-7,eq 17,007\n\"P,8\",\"eq \"\"18\"\"\",\n\n9,,x\n");
    assert_loads("b.csv", "\xef\xbb\xbftag;mw;assetic\r\nP-7; eq 17 ;007\r\n\"P,8\";\"eq \"\"18\"\"\";\r\n9;;x");
    assert_loads("c.yaml", "P-7: {mw: eq 17, assetic: 007}\n\"P,8\": {mw: 'eq \"18\"'}\n9: {assetic: x, mw: ~}\n");
}

static void assert_refused(const char *name, struct span text, const char *expected)
{
    cleanup_text char *said = NULL;
    assert_null(load(name, text, &said));
    assert_string_equal(said, expected);
}
#define REFUSED(name, text, expected) assert_refused((name), SPAN(text), (expected))

static void test_assets_problems_name_the_line(void **state)
{
    (void)state;
    REFUSED("f.csv", "", "1: the asset map is empty\n");
    REFUSED("f.csv", "tag\nP\n",
            "1: the first line names the columns: the tag's, then one for each target, such as tag,mw\n");
    REFUSED("f.csv", "tag,mw,mw\n", "1: column 'mw' stands twice\n");
    REFUSED("f.csv", "tag,mw?\n", "1: a column needs a name without '?' and '}'\n");
    REFUSED("f.csv", "tag,\n", "1: a column needs a name without '?' and '}'\n");
    REFUSED("f.csv", "tag,mw\nP,1\nQ\nR,1,2\n,5\n",
            "3: it has 1 fields where the first line has 2\n4: it has 3 fields where the first line has 2\n"
            "5: it has no tag\n");
    REFUSED("f.csv", "tag,mw\nP,1\nQ,1\nP,2\n", "4: tag 'P' stands twice, first in line 2\n");
    REFUSED("f.csv", "tag,mw\nP,\"1\n", "2: a quoted field is not closed\n");
    REFUSED("f.csv", "tag,mw\nP,\xff\n", "1: the asset map is not UTF-8 text\n");
    REFUSED("f.csv", "tag,mw\nP,\0\n", "1: the asset map is not UTF-8 text\n");
    REFUSED("f.yaml", "[a]\n", "1: the asset map must be a mapping: tag: {name: identifier}\n");
    REFUSED("f.yaml", "a: b\n", "1: a tag needs a mapping of identifiers, such as {mw: equipment-7}\n");
    REFUSED("f.yaml", "a: {mw: [1]}\n", "1: an identifier is a single value\n");
    cleanup_buf struct buf many = {0};
    buf_puts(&many, "tag,mw\n");
    for (int i = 0; i < 20; i++)
        buf_puts(&many, "x\n");
    cleanup_text char *said = NULL;
    assert_null(load("f.csv", buf_span(&many), &said));
    assert_non_null(strstr(said, "11: it has 1 fields where"));
    assert_null(strstr(said, "12: it has"));
    assert_non_null(strstr(said, "has 20 problems; here are the first 10"));
    struct problems problems = {0};
    assert_null(assets_load("/nonexistent/x.csv", (struct mark){"f", 1, 1}, &problems));
    assert_int_equal(problems.errors, 1);
    problems_finish(&problems);
}

/* 100,000 tags: the time of a look-up does not follow their number (a scan would take minutes). */
static void test_assets_large_map(void **state)
{
    (void)state;
    cleanup_buf struct buf text = {0};
    cleanup_text char *said = NULL;
    buf_puts(&text, "tag,mw,assetic,sap\n");
    for (int i = 0; i < 100000; i++)
        buf_printf(&text, "plant/line-%d/asset-%d,eq-%d,A-%06d,\n", i % 40, i, i, i);
    int64_t start_us = clock_monotonic_us();
    struct assets *assets = load("large.csv", buf_span(&text), &said);
    int64_t loaded_us = clock_monotonic_us();
    assert_string_equal(said, "");
    for (int i = 0; i < 100000; i++) {
        char tag[64], expected[64];
        snprintf(tag, sizeof(tag), "plant/line-%d/asset-%d", i % 40, i);
        snprintf(expected, sizeof(expected), "A-%06d", i);
        const struct span *cells = assets_find(assets, span_of(tag));
        assert_non_null(cells);
        assert_true(span_is(cells[1], expected));
    }
    print_message("100,000 assets: loaded in %d ms, each found in %d ns\n", (int)((loaded_us - start_us) / 1000),
                  (int)((clock_monotonic_us() - loaded_us) / 100));
    assert_true(loaded_us - start_us < 5000000);
    assets_destroy(assets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_assets_from_csv_and_yaml),
        cmocka_unit_test(test_assets_problems_name_the_line),
        cmocka_unit_test(test_assets_large_map),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
