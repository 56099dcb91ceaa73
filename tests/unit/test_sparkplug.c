/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "json.h"
#include "sparkplug.h"
#include "sparkplug_encoder.h"

#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what comes of it */

struct bench {
    struct sparkplug *sparkplug;
    struct buf text;
};

/* Readings, a line each: "device metric datatype value quality alive ..." or "!why not". */
static const char *read_bytes(struct bench *b, const char *topic, struct span payload)
{
    cleanup_buf struct buf reason = {0};
    buf_clear(&b->text);
    cleanup_json struct json_object *all = sparkplug_read(b->sparkplug, span_of(topic), payload, &reason);
    if (all == NULL) {
        buf_printf(&b->text, "!%s", buf_span(&reason).data);
        return b->text.data;
    }
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        struct json_object *r = json_object_array_get_idx(all, i);
        const char *device = json_get_text(r, "device");
        buf_printf(&b->text, "%s/%s/%s %s %s %s ", json_get_text(r, "group"), json_get_text(r, "node"),
                   device != NULL ? device : "-", json_get_text(r, "type"), json_get_text(r, "metric"),
                   json_get_text(r, "datatype"));
        json_print(json_get(r, "value"), &b->text);
        buf_printf(&b->text, " %s", json_get_text(r, "quality"));
        if (!json_object_get_boolean(json_get(r, "alive")))
            buf_puts(&b->text, " dead");
        if (json_object_get_boolean(json_get(r, "historical")))
            buf_puts(&b->text, " historical");
        if (json_get(r, "timestamp") != NULL)
            buf_printf(&b->text, " @%lld", (long long)json_object_get_int64(json_get(r, "timestamp")));
        buf_putc(&b->text, '\n');
    }
    return buf_span(&b->text).len > 0 ? b->text.data : "";
}

static const char *read_points(struct bench *b, const char *topic, int seq, const struct point *points, size_t count)
{
    cleanup_buf struct buf payload = {0};
    for (size_t i = 0; i < count; i++)
        put_point(&payload, &points[i]);
    if (seq >= 0)
        put_whole(&payload, 3, (uint64_t)seq);
    return read_bytes(b, topic, buf_span(&payload));
}
#define READ(b, topic, seq, ...)                                          \
    read_points((b), (topic), (seq), (const struct point[]){__VA_ARGS__}, \
                sizeof((const struct point[]){__VA_ARGS__}) / sizeof(struct point))

#define N "spBv1.0/g/NBIRTH/n"
static const struct point bdseq7 = {.name = "bdSeq", .type = 8, .field = 11, .whole = 7};
static const struct point temperature = {.name = "T", .alias = 1, .type = 9, .field = 12, .real = 21.3};
static const struct point level = {.name = "L", .alias = 2, .type = 3, .field = 10, .whole = 4294967284u};

static struct bench set_up(void)
{
    return (struct bench){.sparkplug = sparkplug_create()};
}

static void tear_down(struct bench *b)
{
    sparkplug_destroy(b->sparkplug);
    buf_finish(&b->text);
}

static void born(struct bench *b)
{
    assert_string_equal(READ(b, N, 0, bdseq7, temperature, level),
                        "g/n/- NBIRTH bdSeq UInt64 7 good\ng/n/- NBIRTH T Float 21.3 good\n"
                        "g/n/- NBIRTH L Int32 -12 good\n");
}

static void note_rebirth(void *context, const char *topic, struct span payload)
{
    struct buf *out = context;
    buf_printf(out, "%s ", topic);
    for (size_t i = 0; i < payload.len; i++)
        buf_printf(out, "%02x", (unsigned char)payload.data[i]);
}

/* The topics that would be asked for births, with the command's bytes. gives */
static char *asked(struct bench *b, int64_t now_ms)
{
    struct buf out = {0};
    sparkplug_rebirths(b->sparkplug, now_ms, 1, note_rebirth, &out);
    return buf_steal(&out);
}

static bool asks(struct bench *b, int64_t now_ms)
{
    cleanup_text char *out = asked(b, now_ms);
    return out[0] != '\0';
}

/* Signed integers are the bits of unsigned ones, in the width of their datatype or of the field. */
static void test_sparkplug_values_by_datatype(void **state)
{
    (void)state;
    static const struct {
        struct point point;
        const char *expected;
    } cases[] = {
        {{.type = 1, .field = 10, .whole = 255}, "Int8 -1"},
        {{.type = 1, .field = 10, .whole = 4294967295u}, "Int8 -1"},
        {{.type = 1, .field = 10, .whole = 127}, "Int8 127"},
        {{.type = 2, .field = 10, .whole = 32768}, "Int16 -32768"},
        {{.type = 2, .field = 10, .whole = 4294934528u}, "Int16 -32768"},
        {{.type = 3, .field = 10, .whole = 4294967284u}, "Int32 -12"},
        {{.type = 3, .field = 10, .whole = 2147483647}, "Int32 2147483647"},
        {{.type = 4, .field = 11, .whole = 18446744073709551604u}, "Int64 -12"},
        {{.type = 4, .field = 11, .whole = 9007199254740993u}, "Int64 9007199254740993"},
        {{.type = 5, .field = 10, .whole = 255}, "UInt8 255"},
        {{.type = 6, .field = 10, .whole = 65535}, "UInt16 65535"},
        {{.type = 7, .field = 10, .whole = 4294967295u}, "UInt32 4294967295"},
        {{.type = 7, .field = 11, .whole = 4294967295u}, "UInt32 4294967295"},
        {{.type = 8, .field = 11, .whole = 18446744073709551615u}, "UInt64 18446744073709551615"},
        {{.type = 9, .field = 12, .real = 21.3}, "Float 21.3"},
        {{.type = 9, .field = 12, .real = 1e10}, "Float 1e+10"},
        {{.type = 10, .field = 13, .real = 0.1}, "Double 0.1"},
        {{.type = 10, .field = 13, .real = 5}, "Double 5"},
        {{.type = 10, .field = 13, .real = (double)INFINITY}, "Double null"},
        {{.type = 11, .field = 14, .whole = 1}, "Boolean true"},
        {{.type = 12, .field = 15, .text = "a \"b\""}, "String \"a \\\"b\\\"\""},
        {{.type = 13, .field = 11, .whole = 1700000000123}, "DateTime 1700000000123"},
        {{.type = 14, .field = 15, .text = "t"}, "Text \"t\""},
        {{.type = 15, .field = 15, .text = "u"}, "UUID \"u\""},
        {{.type = 3, .is_null = true}, "Int32 null"},
        /* left out: data set, bytes, template, arrays, no type, a value of another kind, no UTF-8 */
        {{.type = 16, .field = 17, .text = ""}, NULL},
        {{.type = 17, .field = 16, .text = "x"}, NULL},
        {{.type = 19, .field = 18, .text = ""}, NULL},
        {{.type = 24, .field = 16, .text = "1234"}, NULL},
        {{.field = 10, .whole = 1}, NULL},
        {{.type = 3, .field = 15, .text = "1"}, NULL},
        {{.type = 12, .field = 10, .whole = 1}, NULL},
        {{.type = 12, .field = 15, .text = "\xff"}, NULL},
        {{.type = 3}, NULL},
    };
    struct bench b = set_up();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct point point = cases[i].point;
        point.name = "m";
        cleanup_text char *expected =
            cases[i].expected != NULL ? mem_printf("g/n/- NBIRTH m %s good\n", cases[i].expected) : mem_strdup("");
        assert_string_equal(read_points(&b, N, 0, &point, 1), expected);
    }
    tear_down(&b);
}

static void test_sparkplug_data_by_alias_has_the_births_name_and_type(void **state)
{
    (void)state;
    struct bench b = set_up();
    born(&b);
    assert_string_equal(
        READ(&b, "spBv1.0/g/DBIRTH/n/d", 1, {.name = "T", .alias = 5, .type = 1, .field = 10, .whole = 3}),
        "g/n/d DBIRTH T Int8 3 good\n");
    assert_string_equal(READ(&b, "spBv1.0/g/NDATA/n", 2,
                             {.alias = 2, .field = 10, .whole = 4294967295u, .timestamp = 99},
                             {.alias = 1, .field = 12, .real = 22.5, .historical = true}),
                        "g/n/- NDATA L Int32 -1 good @99\ng/n/- NDATA T Float 22.5 good historical\n");
    assert_string_equal(READ(&b, "spBv1.0/g/DDATA/n/d", 3, {.alias = 5, .field = 10, .whole = 254}),
                        "g/n/d DDATA T Int8 -2 good\n");
    assert_string_equal(READ(&b, "spBv1.0/g/DDATA/n/d", 4, {.name = "T", .field = 10, .whole = 253}),
                        "g/n/d DDATA T Int8 -3 good\n");
    assert_false(asks(&b, 1000));
    /* a number that no birth gave, and another device's */
    assert_string_equal(READ(&b, "spBv1.0/g/DDATA/n/d", 5, {.alias = 2, .field = 10, .whole = 1}), "");
    assert_true(asks(&b, 1000));
    tear_down(&b);
}

static void test_sparkplug_quality_is_a_word(void **state)
{
    (void)state;
    struct bench b = set_up();
    static const struct {
        int quality;
        const char *word;
    } cases[] = {{-1, "bad"}, {192, "good"}, {216, "good"}, {500, "stale"}, {64, "bad"}, {0, "good"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct point point = temperature;
        point.quality = cases[i].quality;
        cleanup_text char *expected = mem_printf("g/n/- NBIRTH T Float 21.3 %s\n", cases[i].word);
        assert_string_equal(read_points(&b, N, 0, &point, 1), expected);
    }
    tear_down(&b);
}

static void test_sparkplug_a_death_makes_what_was_born_stale(void **state)
{
    (void)state;
    struct bench b = set_up();
    born(&b);
    READ(&b, "spBv1.0/g/DBIRTH/n/d", 1, temperature);
    READ(&b, "spBv1.0/g/DBIRTH/n/e", 2, temperature);
    assert_string_equal(READ(&b, "spBv1.0/g/DDEATH/n/d", 3, {.name = "x"}), "g/n/d DDEATH T Float null stale dead\n");
    assert_false(asks(&b, 1000));
    /* what a dead device says by number is not known any more */
    assert_string_equal(READ(&b, "spBv1.0/g/DDATA/n/d", 4, {.alias = 1, .field = 12, .real = 1}), "");
    assert_true(asks(&b, 1000));
    /* the will of the session before */
    assert_string_equal(READ(&b, "spBv1.0/g/NDEATH/n", -1, {.name = "bdSeq", .type = 8, .field = 11, .whole = 6}), "");
    assert_string_equal(READ(&b, "spBv1.0/g/NDEATH/n", -1, bdseq7),
                        "g/n/- NDEATH L Int32 null stale dead\ng/n/- NDEATH T Float null stale dead\n"
                        "g/n/- NDEATH bdSeq UInt64 null stale dead\n"
                        "g/n/d NDEATH T Float null stale dead\ng/n/e NDEATH T Float null stale dead\n");
    assert_string_equal(READ(&b, "spBv1.0/g/NDATA/n", 5, {.alias = 2, .field = 10, .whole = 1}), "");
    born(&b);
    assert_string_equal(READ(&b, "spBv1.0/g/NDATA/n", 1, {.alias = 2, .field = 10, .whole = 1}),
                        "g/n/- NDATA L Int32 1 good\n");
    tear_down(&b);
}

/* 0..255 and around; the same twice is the copy of an overlapping filter. */
static void test_sparkplug_a_gap_asks_for_births_and_not_too_often(void **state)
{
    (void)state;
    struct bench b = set_up();
    born(&b);
    for (int seq = 1; seq <= 300; seq++) {
        READ(&b, "spBv1.0/g/NDATA/n", seq % 256, temperature);
        READ(&b, "spBv1.0/g/NDATA/n", seq % 256, temperature);
    }
    assert_false(sparkplug_wants_rebirths(b.sparkplug));
    READ(&b, "spBv1.0/g/NDATA/n", 46, temperature);
    assert_true(sparkplug_wants_rebirths(b.sparkplug));
    cleanup_text char *first = asked(&b, 1000);
    /* timestamp 1; a metric: name, timestamp, datatype Boolean, true */
    assert_string_equal(first, "spBv1.0/g/NCMD/n 0801121c0a144e6f646520436f6e74726f6c2f5265626972746818012"
                               "00b7001");
    assert_false(asks(&b, 1000)); /* once */
    READ(&b, "spBv1.0/g/NDATA/n", 47, temperature);
    assert_false(asks(&b, 1000 + SPARKPLUG_REBIRTH_EVERY_MS - 1)); /* not so soon again */
    READ(&b, "spBv1.0/g/NDATA/n", 48, temperature);
    assert_true(asks(&b, 1000 + SPARKPLUG_REBIRTH_EVERY_MS)); /* no birth came */
    born(&b);
    READ(&b, "spBv1.0/g/NDATA/n", 1, temperature);
    assert_false(asks(&b, 10 * SPARKPLUG_REBIRTH_EVERY_MS));
    tear_down(&b);
}

struct kept { /* a store */
    char *keys[8], *texts[8];
    size_t count;
};

static void keep(void *context, const char *key, struct span text)
{
    struct kept *kept = context;
    kept->keys[kept->count] = mem_strdup(key);
    kept->texts[kept->count++] = span_dup(text);
}

static void test_sparkplug_births_outlive_a_restart(void **state)
{
    (void)state;
    struct bench b = set_up();
    struct kept kept = {0};
    born(&b);
    READ(&b, "spBv1.0/g/DBIRTH/n/d", 1, level);
    assert_true(sparkplug_has_changes(b.sparkplug));
    sparkplug_changes(b.sparkplug, keep, &kept);
    sparkplug_stored(b.sparkplug);
    assert_false(sparkplug_has_changes(b.sparkplug));
    READ(&b, "spBv1.0/g/NDATA/n", 2, temperature);
    assert_false(sparkplug_has_changes(b.sparkplug)); /* data changes nothing that is kept */
    assert_int_equal(kept.count, 2);
    assert_string_equal(kept.keys[0], "g/n/");
    assert_string_equal(kept.keys[1], "g/n/d");
    tear_down(&b);

    b = set_up();
    for (size_t i = 0; i < kept.count; i++) {
        sparkplug_restore(b.sparkplug, kept.keys[i], span_of(kept.texts[i]));
        free(kept.keys[i]);
        free(kept.texts[i]);
    }
    sparkplug_restore(b.sparkplug, "nonsense", SPAN("{}"));
    sparkplug_restore(b.sparkplug, "g/n/x", SPAN("nonsense"));
    assert_false(sparkplug_has_changes(b.sparkplug));
    assert_string_equal(READ(&b, "spBv1.0/g/DDATA/n/d", 9, {.alias = 2, .field = 10, .whole = 4294967294u}),
                        "g/n/d DDATA L Int32 -2 good\n");
    assert_true(asks(&b, 1000)); /* a birth may have been missed meanwhile */
    assert_string_equal(READ(&b, "spBv1.0/g/NDEATH/n", -1, {.name = "bdSeq", .type = 8, .field = 11, .whole = 6}), "");
    assert_string_not_equal(READ(&b, "spBv1.0/g/NDEATH/n", -1, bdseq7), "");
    tear_down(&b);
}

/* A birth of nothing, as the fuzzer found it. */
static void test_sparkplug_an_empty_birth(void **state)
{
    (void)state;
    struct bench b = set_up();
    assert_string_equal(read_bytes(&b, N, SPAN("")), "");
    assert_string_equal(READ(&b, "spBv1.0/g/NDATA/n", 1, {.alias = 1, .field = 10}), "");
    assert_string_equal(read_bytes(&b, "spBv1.0/g/NDEATH/n", SPAN("")), "");
    tear_down(&b);
}

static void test_sparkplug_other_topics(void **state)
{
    (void)state;
    struct bench b = set_up();
    assert_string_equal(read_bytes(&b, "spBv1.0/STATE/host", SPAN("{}")), "");
    assert_string_equal(read_bytes(&b, "spBv1.0/g/NCMD/n", SPAN("\xff")), "");
    assert_string_equal(read_bytes(&b, "spBv1.0/g/DCMD/n/d", SPAN("\xff")), "");
    static const char *const wrong[] = {"spAv1.0/g/NDATA/n",
                                        "spBv1.0/g/NDATA",
                                        "spBv1.0/g/NDATA/n/d",
                                        "spBv1.0/g/DDATA/n",
                                        "spBv1.0/g/XDATA/n",
                                        "spBv1.0/g/DDATA/n/d/e",
                                        "spBv1.0//NBIRTH/n",
                                        "spBv1.0/g/DDATA/n/",
                                        "x",
                                        "",
                                        "spBv1.0/g/DDATA/n/d/e/f"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(read_bytes(&b, wrong[i], SPAN(""))[0], '!');
    assert_string_equal(read_bytes(&b, "spBv1.0/g/NDATA/n", SPAN("\xff\xff")), "!it is no Sparkplug B payload");
    cleanup_buf struct buf large = {0};
    for (int i = 0; i <= SPARKPLUG_BYTES_MAX; i++)
        buf_putc(&large, ' ');
    assert_string_equal(read_bytes(&b, "spBv1.0/g/NDATA/n", buf_span(&large)), "!it is larger than 4 MiB");
    tear_down(&b);
}

/* Good payloads with bytes changed, cut off, doubled: an answer each, and asan has nothing to say. */
static void test_sparkplug_survives_hostile_payloads(void **state)
{
    (void)state;
    static const char *const topics[] = {"spBv1.0/g/NBIRTH/n",  "spBv1.0/g/NDATA/n",  "spBv1.0/g/DBIRTH/n/d",
                                         "spBv1.0/g/DDATA/n/d", "spBv1.0/g/NDEATH/n", "spBv1.0/g/DDEATH/n/d"};
    struct bench b = set_up();
    uint64_t random = 11;
    for (int round = 0; round < 20000; round++) {
        cleanup_buf struct buf payload = {0};
        struct point points[] = {bdseq7, temperature, level, {.alias = 2, .field = 10, .whole = 1, .quality = 192}};
        for (size_t i = 0; i < 4; i++)
            put_point(&payload, &points[i]);
        put_whole(&payload, 3, (uint64_t)round % 256);
        for (int change = 0; change < 3; change++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            payload.data[(random >> 33) % payload.len] = (char)(random >> 20);
        }
        size_t len = (random & 1) != 0 ? payload.len : (size_t)(random >> 40) % (payload.len + 1);
        char *exact = len > 0 ? memcpy(malloc(len), payload.data, len) : NULL;
        read_bytes(&b, topics[(random >> 10) % 6], (struct span){exact, len});
        free(exact);
    }
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sparkplug_values_by_datatype),
        cmocka_unit_test(test_sparkplug_data_by_alias_has_the_births_name_and_type),
        cmocka_unit_test(test_sparkplug_quality_is_a_word),
        cmocka_unit_test(test_sparkplug_a_death_makes_what_was_born_stale),
        cmocka_unit_test(test_sparkplug_a_gap_asks_for_births_and_not_too_often),
        cmocka_unit_test(test_sparkplug_births_outlive_a_restart),
        cmocka_unit_test(test_sparkplug_an_empty_birth),
        cmocka_unit_test(test_sparkplug_other_topics),
        cmocka_unit_test(test_sparkplug_survives_hostile_payloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
