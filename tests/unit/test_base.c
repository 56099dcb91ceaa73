/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 0: what every room stands on. */

#include "backoff.h"
#include "clock.h"
#include "digest.h"
#include "json.h"
#include "metrics.h"
#include "number.h"
#include "problems.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void test_buf_json_escapes_and_repairs_utf8(void **state)
{
    (void)state;
    cleanup_buf struct buf buf = {0};
    buf_put_json(&buf, (struct span){"a\"\n\x01\xff\xc3\xa9", 7});
    assert_string_equal(buf.data, "\"a\\\"\\n\\u0001\xef\xbf\xbd\xc3\xa9\"");
}

static void test_buf_text_is_repaired_only_where_it_is_no_utf8(void **state)
{
    static const struct {
        const char *text, *mended;
    } texts[] = {
        {"", ""},
        {"plain\n\"\xc3\xa9\"", "plain\n\"\xc3\xa9\""},
        {"Ger\xe4t", "Ger\xef\xbf\xbdt"},
        {"\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cleanup_buf struct buf buf = {0};
        buf_puts(&buf, ">");
        buf_put_text(&buf, span_of(texts[i].text));
        assert_string_equal(buf.data + 1, texts[i].mended);
        assert_true(span_is_utf8(buf_span(&buf)));
    }
}

static void test_clock_round_trips_and_refuses(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_MAX];
    int64_t ms = 0;
    assert_true(clock_parse(SPAN("2022-01-11T10:00:00.250+01:00"), &ms));
    assert_string_equal(clock_format(ms, text), "2022-01-11T09:00:00.250Z");
    const char *bad[] = {"2022-01-11",
                         "2022-01-11T09:00:00",
                         "2022-13-11T09:00:00Z",
                         "2022-02-30T09:00:00Z",
                         "2022-01-11T24:00:00Z",
                         "2022-01-11T09:00:00Zx",
                         ""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(clock_parse(span_of(bad[i]), &ms));
    assert_true(clock_parse(SPAN("2024-02-29T00:00:00Z"), &ms));
}

static void test_number_units(void **state)
{
    (void)state;
    int64_t n = -1, w = 0;
    double d = 0;
    assert_true(number_parse_duration(SPAN("250ms"), &n) && n == 250);
    assert_true(number_parse_duration(SPAN("7d"), &n) && n == 7 * 86400000LL);
    assert_true(number_parse_size(SPAN("64KiB"), &n) && n == 65536);
    assert_true(number_parse_rate(SPAN("10/s"), &d) && d == 10.0);
    assert_true(number_parse_rate(SPAN("240/1m"), &d) && d == 4.0);
    assert_true(number_parse_budget(SPAN("24/1d"), &n, &w) && n == 24 && w == 86400000);
    const char *bad[] = {"", "10", "s", "1.5h", "-1s", "10 s", "99999999999999999999d", "1w"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(number_parse_duration(span_of(bad[i]), &n));
    assert_false(number_parse_double(SPAN("0x10"), &d));
    assert_false(number_parse_double(SPAN("nan"), &d));
    assert_false(number_parse_double(SPAN("1e999"), &d));
    assert_true(number_parse_double(SPAN("-1.5e3"), &d) && d == -1500.0);
    assert_false(number_parse_int(SPAN("5-"), 0, 10, &n));
    char text[24];
    number_format_duration(90000, text);
    assert_string_equal(text, "90s");
    number_format_duration(3600000, text);
    assert_string_equal(text, "1h");
}

static void test_backoff_grows_to_the_cap_with_jitter(void **state)
{
    (void)state;
    assert_int_equal(backoff_delay_ms(1000, 60000, 1, 0.0), 500);
    assert_int_equal(backoff_delay_ms(1000, 60000, 3, 0.5), 3000);
    assert_int_equal(backoff_delay_ms(1000, 60000, 100, 0.0), 30000);
    assert_true(backoff_delay_ms(1000, 60000, 100, 0.999) < 60000);
}

static void test_digest_known_answers(void **state)
{
    (void)state;
    unsigned char mac[DIGEST_BYTES];
    char hex[DIGEST_HEX_MAX], uuid[UUID_TEXT_MAX], again[UUID_TEXT_MAX];
    struct span parts[] = {SPAN("what do ya want "), SPAN("for nothing?")};
    digest_hmac_sha256(SPAN("Jefe"), parts, 2, mac); /* RFC 4231 case 2 */
    digest_hex(mac, sizeof(mac), hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    uuid_v7(0x0123456789ab, uuid);
    assert_memory_equal(uuid, "01234567-89ab-7", 15);
    assert_int_equal(strspn(uuid, "0123456789abcdef-"), 36);
    assert_true(uuid[18] == '-' && strchr("89ab", uuid[19]) != NULL && uuid[23] == '-' && strlen(uuid) == 36);
    uuid_v5(SPAN("mw/1"), uuid);
    uuid_v5(SPAN("mw/1"), again);
    assert_string_equal(uuid, again);
    cleanup_buf struct buf out = {0};
    char *base64 = digest_base64(SPAN("hello"));
    assert_string_equal(base64, "aGVsbG8=");
    assert_true(digest_base64_decode(span_of(base64), &out));
    assert_string_equal(out.data, "hello");
    free(base64);
}

static void test_digest_takes_base64_alone(void **state)
{
    (void)state;
    static const char *const none[] = {"aGVsbG8",  "    ",     " aGVsbG8=", "aGVsbG8= ",  "====",    "a===",
                                       "aGV=bG8=", "aG==aGVs", "aGV-bG8_",  "aGVs\nbG8=", "not base"};
    cleanup_buf struct buf out = {0};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        if (digest_base64_decode(span_of(none[i]), &out) || out.len > 0)
            fail_msg("'%s' was taken", none[i]);
    assert_true(digest_base64_decode(SPAN(""), &out));
    assert_true(digest_base64_decode(SPAN("+/+/AA=="), &out));
    assert_int_equal(out.len, 4);
}

static void test_metrics_render_what_was_counted(void **state)
{
    (void)state;
    struct metric_family *family = metric_family(METRIC_COUNTER, "t_total", "Things.", "kind,name");
    metric_add(metric_get(family, "a", "q\"\\"), 2);
    metric_add(metric_get(family, "a", "q\"\\"), 1);
    struct metric_family *times = metric_family(METRIC_HISTOGRAM, "t_seconds", "Times.", "");
    metric_observe(metric_get(times), 0.003);
    cleanup_buf struct buf out = {0};
    metrics_render(&out);
    assert_non_null(strstr(out.data, "# TYPE t_total counter\nt_total{kind=\"a\",name=\"q\\\"\\\\\"} 3\n"));
    assert_non_null(strstr(out.data, "t_seconds_bucket{le=\"0.0025\"} 0\nt_seconds_bucket{le=\"0.005\"} 1\n"));
    assert_non_null(strstr(out.data, "t_seconds_count 1\n"));
    metric_drop(family);
    metric_drop(times);
}

static void test_metrics_finds_each_of_many_again(void **state)
{
    (void)state;
    struct metric_family *family = metric_family(METRIC_GAUGE, "t_many", "Many.", "a,b");
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 200; i++) {
            cleanup_text char *name = mem_printf("%d", i / 2);
            metric_add(metric_get(family, i % 2 == 0 ? name : "", i % 2 == 0 ? NULL : name), i);
        }
    assert_true(metric_value(metric_get(family, "99", NULL)) == 2.0 * 198);
    assert_true(metric_value(metric_get(family, "", "99")) == 2.0 * 199);
    assert_true(metric_value(metric_get(family, "99", "")) == 2.0 * 198);
    metric_drop(family);
    assert_true(metric_value(metric_get(family, "99", "")) == 0);
    metric_drop(family);
}

/* In order of labels, also what came between two scrapes. */
static void test_metrics_render_in_order(void **state)
{
    (void)state;
    struct metric_family *family = metric_family(METRIC_GAUGE, "t_order", "Order.", "a");
    cleanup_buf struct buf before = {0}, after = {0};
    metric_get(family, "b");
    metric_get(family, "c");
    metrics_render(&before);
    assert_non_null(strstr(before.data, "t_order{a=\"b\"} 0\nt_order{a=\"c\"} 0\n"));
    metric_get(family, "a");
    metrics_render(&after);
    assert_non_null(strstr(after.data, "t_order{a=\"a\"} 0\nt_order{a=\"b\"} 0\nt_order{a=\"c\"} 0\n"));
    metric_drop(family);
}

/* A third of what 10,000 routes make; seconds of CPU when each is put in its place at once. */
static void test_metrics_are_made_fast(void **state)
{
    (void)state;
    struct metric_family *family = metric_family(METRIC_GAUGE, "t_fast", "Fast.", "a");
    clock_t began = clock();
    for (int i = 0; i < 20000; i++) {
        cleanup_text char *name = mem_printf("%06d", i);
        metric_get(family, name);
    }
    assert_true(clock() - began < CLOCKS_PER_SEC / 2);
    metric_drop(family);
}

static void test_problems_in_file_order_with_nearest_word(void **state)
{
    (void)state;
    struct problems problems = {0};
    problems_add(&problems, (struct mark){"b.yaml", 9, 1}, "second");
    problems_warn(&problems, (struct mark){"b.yaml", 2, 5}, "first");
    cleanup_buf struct buf out = {0};
    problems_print(&problems, &out);
    assert_string_equal(out.data, "b.yaml:2:5: warning: first\nb.yaml:9:1: error: second\n");
    assert_int_equal(problems.errors, 1);
    problems_finish(&problems);
    const char *words[] = {"above", "below", "outside"};
    assert_string_equal(problems_nearest(SPAN("abvoe"), words, 3), "above");
    assert_null(problems_nearest(SPAN("xyzzy"), words, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_json_escapes_and_repairs_utf8),
        cmocka_unit_test(test_buf_text_is_repaired_only_where_it_is_no_utf8),
        cmocka_unit_test(test_clock_round_trips_and_refuses),
        cmocka_unit_test(test_number_units),
        cmocka_unit_test(test_backoff_grows_to_the_cap_with_jitter),
        cmocka_unit_test(test_digest_known_answers),
        cmocka_unit_test(test_digest_takes_base64_alone),
        cmocka_unit_test(test_metrics_render_what_was_counted),
        cmocka_unit_test(test_metrics_finds_each_of_many_again),
        cmocka_unit_test(test_metrics_render_in_order),
        cmocka_unit_test(test_metrics_are_made_fast),
        cmocka_unit_test(test_problems_in_file_order_with_nearest_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
