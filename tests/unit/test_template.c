/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "json.h"
#include "template.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static const char *const names_of_captures[] = {"line", "asset", NULL}, *const columns[] = {"mw", "sap id", NULL};
static const struct template_names names = {names_of_captures, columns};
static const struct topic_captures captures = {
    .names = {"line", "asset"}, .values = {{"l1", 2}, {"pump \"7\"", 8}}, .count = 2};
static const struct message_property user[] = {{{"batch no", 8}, {"b-9", 3}}};

#define PAYLOAD                                                                                                  \
    "{\"celsius\":87.50,\"big\":9007199254740993,\"ok\":true,\"none\":null,\"text\":\"hot\",\"a\":{\"b\":[{\"x " \
    "y\":1},2],"                                                                                                 \
    "\"k-1\":3,\"h\\u00e9\":4}}"

/* The rendered JSON, or "!" and the reason. gives */
static char *render_scope(const char *text, const struct template_scope *scope)
{
    char *error = NULL;
    size_t offset = 0;
    struct template *t = template_compile(span_of(text), &names, &error, &offset);
    if (t == NULL)
        fail_msg("%s: %s", text, error);
    struct buf out = {0};
    cleanup_buf struct buf reason = {0}, direct = {0};
    cleanup_json struct json_object *value = NULL;
    if (template_render(t, scope, &value, &reason) == 0) {
        json_print(value, &out);
        assert_int_equal(template_render_json(t, scope, &direct, &reason), 0);
        assert_string_equal(direct.data, out.data);
    } else {
        buf_printf(&out, "!%s", buf_span(&reason).data);
    }
    template_destroy(t);
    return buf_steal(&out);
}

static char *render(const char *text, const char *payload)
{
    const char *error = NULL;
    bool is_null = false;
    cleanup_json struct json_object *json = json_parse(span_of(payload), &is_null, &error);
    struct template_scope scope = {
        .payload = json,
        .payload_null = is_null,
        .payload_text = span_of(payload),
        .payload_error = error,
        .captures = &captures,
        .topic = SPAN("plant/l1/p"),
        .key = SPAN("l1/p"),
        .id = "0190-id",
        .now_ms = 1700000000999,
        .received_ms = 1699999999000,
        .user = user,
        .user_count = 1,
    };
    return render_scope(text, &scope);
}

#define RENDERS(text, payload, wanted)                  \
    do {                                                \
        cleanup_text char *got = render(text, payload); \
        assert_string_equal(got, wanted);               \
    } while (0)

static void test_template_keeps_the_type_of_a_lone_placeholder(void **state)
{
    (void)state;
    RENDERS("${.celsius}", PAYLOAD, "87.50");
    RENDERS("${.ok}", PAYLOAD, "true");
    RENDERS("${.none}", PAYLOAD, "null");
    RENDERS("${.text}", PAYLOAD, "\"hot\"");
    RENDERS("${.a.b}", PAYLOAD, "[{\"x y\":1},2]");
    RENDERS("${.}", "[1,2]", "[1,2]");
    RENDERS("${line}", PAYLOAD, "\"l1\"");
}

static void test_template_keeps_the_text_of_numbers(void **state)
{
    (void)state;
    RENDERS("${.big}", PAYLOAD, "9007199254740993"); /* beyond 2^53 */
    RENDERS("n=${.big}", PAYLOAD, "\"n=9007199254740993\"");
    RENDERS("${.x}", "{\"x\":0.10}", "0.10");
    RENDERS("${.x} EUR", "{\"x\":0.10}", "\"0.10 EUR\"");
    RENDERS("${.x}", "{\"x\":1e2}", "1e2");
    RENDERS("${.x}", "{\"x\":-12345678901234567.12345678901234567890}", "-12345678901234567.12345678901234567890");
}

static void test_template_refuses_whole_numbers_that_would_change(void **state)
{
    (void)state;
    cleanup_text char *got = render("${.x}", "{\"x\":123456789012345678901234567890}");
    assert_non_null(strstr(got, "!the payload is no JSON: "));
}

static void test_template_walks_paths(void **state)
{
    (void)state;
    RENDERS("${.a.b[0].\"x y\"}", PAYLOAD, "1");
    RENDERS("${.a.b[1]}", PAYLOAD, "2");
    RENDERS("${.a.k-1}", PAYLOAD, "3");
    RENDERS("${.a.h\xc3\xa9}", PAYLOAD, "4");
    RENDERS("${.[1]}", "[1,2]", "2");
    RENDERS("${.\"}\"}", "{\"}\":5}", "5");
    RENDERS("${.\"\\u0061\"}", "{\"a\":6}", "6");
}

static void test_template_names_the_missing_path(void **state)
{
    (void)state;
    RENDERS("${.fahrenheit}", PAYLOAD, "!no .fahrenheit in the payload");
    RENDERS("${.a.b[2]}", PAYLOAD, "!no .a.b[2] in the payload");
    RENDERS("${.text.x}", PAYLOAD, "!no .text.x in the payload");
    RENDERS("${.none.x}", PAYLOAD, "!no .none.x in the payload");
    RENDERS("${.x}", "null", "!no .x in the payload");
}

static void test_template_optional_paths_and_defaults(void **state)
{
    (void)state;
    RENDERS("${.x?}", PAYLOAD, "null");
    RENDERS("${.x?0}", PAYLOAD, "0");
    RENDERS("${.x?0.50}", PAYLOAD, "0.50");
    RENDERS("${.x?true}", PAYLOAD, "true");
    RENDERS("${.x?unknown part}", PAYLOAD, "\"unknown part\"");
    RENDERS("${.x?\"7\"}", PAYLOAD, "\"7\"");
    RENDERS("${.none?7}", PAYLOAD, "7"); /* null is as good as absent */
    RENDERS("${.celsius?7}", PAYLOAD, "87.50");
    RENDERS("at ${.x?n/a}", PAYLOAD, "\"at n/a\"");
}

static void test_template_text_of_several_parts(void **state)
{
    (void)state;
    RENDERS("Bearing at ${.celsius} on ${asset} (${line})", PAYLOAD, "\"Bearing at 87.50 on pump \\\"7\\\" (l1)\"");
    RENDERS("${.ok}${.text}", PAYLOAD, "\"truehot\"");
    RENDERS("x ${.none}", PAYLOAD, "!.none is null, which cannot stand inside text");
    RENDERS("x ${.a}", PAYLOAD, "!.a is an object, which cannot stand inside text");
    RENDERS("x ${.a.b}", PAYLOAD, "!.a.b is an array, which cannot stand inside text");
    RENDERS("x ${.y?}", PAYLOAD, "!.y is null, which cannot stand inside text");
}

static void test_template_times(void **state)
{
    (void)state;
    RENDERS("${now}", "", "\"2023-11-14T22:13:20+00:00\"");
    RENDERS("${now+2h}", "", "\"2023-11-15T00:13:20+00:00\"");
    RENDERS("${now-15m}", "", "\"2023-11-14T21:58:20+00:00\"");
    RENDERS("${received}", "", "\"2023-11-14T22:13:19+00:00\"");
}

static void test_template_words(void **state)
{
    (void)state;
    RENDERS("${topic}|${key}|${id}", "", "\"plant/l1/p|l1/p|0190-id\"");
    RENDERS("${user.batch no}", "", "\"b-9\"");
    RENDERS("${user.other}", "", "!no user property other in the message");
    RENDERS("${user.other?none}", "", "\"none\"");
}

static void test_template_value_is_the_payload_without_a_trigger(void **state)
{
    (void)state;
    RENDERS("${value}", "17", "17");
    RENDERS("${value}", "{\"a\":1}", "{\"a\":1}");
    RENDERS("${value}", "OPEN", "\"OPEN\"");
    RENDERS("door ${value}", "OPEN", "\"door OPEN\"");
    RENDERS("${value}", "\xff", "!the payload is no UTF-8 text");
    cleanup_json struct json_object *value = json_parse(SPAN("4.20"), NULL, NULL);
    struct template_scope scope = {.value = value, .payload_text = SPAN("x")};
    cleanup_text char *got = render_scope("${value}", &scope);
    assert_string_equal(got, "4.20");
}

static void test_template_says_that_the_payload_is_no_json(void **state)
{
    (void)state;
    cleanup_text char *got = render("${.a}", "{\"a\":"), *optional = render("${.a?1}", "nonsense");
    assert_non_null(strstr(got, "!the payload is no JSON: "));
    assert_non_null(strstr(optional, "!the payload is no JSON: ")); /* `?` is about the path, not about rubbish */
    cleanup_text char *literal = render("fixed", "nonsense");
    assert_string_equal(literal, "\"fixed\"");
}

static void test_template_literals(void **state)
{
    (void)state;
    RENDERS("", "", "\"\"");
    RENDERS("100 $ {x} $", "", "\"100 $ {x} $\"");
    RENDERS("a $${now} b", "", "\"a ${now} b\"");
    RENDERS("$${a}$${b}${line}", "", "\"${a}${b}l1\"");
    char *error;
    struct template *t = template_compile(SPAN("$${x}"), &names, &error, NULL);
    assert_true(template_is_literal(t));
    template_destroy(t);
    t = template_compile(SPAN("${line}"), &names, &error, NULL);
    assert_false(template_is_literal(t));
    template_destroy(t);
}

static void test_template_says_what_it_uses(void **state)
{
    (void)state;
    char *error;
    struct template *t = template_compile(SPAN("${value}${key}${.a}${id}"), &names, &error, NULL);
    assert_int_equal(template_uses(t),
                     TEMPLATE_USES_VALUE | TEMPLATE_USES_KEY | TEMPLATE_USES_PAYLOAD | TEMPLATE_USES_ID);
    template_destroy(t);
    t = template_compile(SPAN("${line}${now}"), &names, &error, NULL);
    assert_int_equal(template_uses(t), 0);
    template_destroy(t);
}

static void test_template_names_the_error_and_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
        size_t offset;
    } cases[] = {
        {"on ${assett}", "did you mean ${asset}?", 3},
        {"${valu}", "did you mean ${value}?", 0},
        {"${nwo}", "did you mean ${now}?", 0},
        {"${zzzzzz}", "there are line, asset, value", 0},
        {"a ${now} ${", "not closed", 9},
        {"${}", "empty placeholder", 0},
        {"${file:/x}", "for settings", 0},
        {"${env:X}", "for settings", 0},
        {"${now+2}", "no duration", 0},
        {"${now+}", "no duration", 0},
        {"${.a..b}", "no path", 0},
        {"${.a[x]}", "a number from 0", 0},
        {"${.a[-1]}", "a number from 0", 0},
        {"${.a b}", "no path", 0},
        {"${.a.}", "no path", 0},
        {"${key?x}", "always there", 0},
        {"${line?x}", "too much", 0},
        {"${line }", "too much", 0},
        {"${ line}", "unknown placeholder", 0},
        {"${user.}", "needs the name", 0},
        {"${.\"a}", "no JSON string", 0},
        {"x ${asset.mv}", "no column 'mv'; did you mean ${asset.mw}?", 2},
        {"${asset.zzzz}", "no column 'zzzz'", 0},
        {"${root.a b}", "no path", 0},
        {"${time?}", "always there", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *error = NULL;
        size_t offset = 99;
        if (template_compile(span_of(cases[i].text), &names, &error, &offset) != NULL)
            fail_msg("%s compiles", cases[i].text);
        if (strstr(error, cases[i].says) == NULL || offset != cases[i].offset)
            fail_msg("%s: %s at %zu", cases[i].text, error, offset);
        free(error);
    }
}

/* The route's asset in the map; a cell that is not there is the asset's fault, and said to be. */
static void test_template_asset_cells(void **state)
{
    (void)state;
    const struct span cells[] = {SPAN("eq-7"), SPAN("")};
    struct template_asset asset = {.tag = SPAN("P-7"), .cells = cells};
    struct template_scope scope = {.asset = &asset};
    static const struct {
        const char *text, *known, *unknown;
        bool missed;
    } cases[] = {
        {"${asset.mw}", "\"eq-7\"", "!asset 'P-7' is not in the asset map", false},
        {"no. ${asset.mw}", "\"no. eq-7\"", "!asset 'P-7' is not in the asset map", false},
        {"${asset.sap id}", "!asset 'P-7' has no sap id in the asset map", "!asset 'P-7' is not in the asset map",
         true},
        {"${asset.sap id?}", "null", "null", false},
        {"${asset.sap id?none}", "\"none\"", "\"none\"", false},
        {"${asset.mw?none}", "\"eq-7\"", "\"none\"", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        asset.cells = cells;
        asset.missed = false;
        cleanup_text char *known = render_scope(cases[i].text, &scope);
        assert_string_equal(known, cases[i].known);
        assert_int_equal(asset.missed, cases[i].missed);
        asset.cells = NULL;
        cleanup_text char *unknown = render_scope(cases[i].text, &scope);
        assert_string_equal(unknown, cases[i].unknown);
        assert_int_equal(asset.missed, unknown[0] == '!' || cases[i].missed);
    }
    scope.asset = NULL;
    cleanup_text char *none = render_scope("${asset.mw}", &scope);
    assert_string_equal(none, "!the route names no asset");
    const struct template_names no_map = {names_of_captures, NULL};
    char *error = NULL;
    assert_null(template_compile(SPAN("${asset.mw}"), &no_map, &error, NULL));
    assert_non_null(strstr(error, "needs an asset map"));
    free(error);
}

static void test_template_time_and_root(void **state)
{
    (void)state;
    cleanup_json struct json_object *whole = json_parse(SPAN("{\"unit\":\"C\",\"a\":[{\"c\":5}]}"), NULL, NULL);
    cleanup_json struct json_object *part = json_parse(SPAN("{\"c\":5}"), NULL, NULL);
    struct template_scope scope = {.payload = part, .root = whole, .time_ms = 1700000000999};
    static const char *const cases[][2] = {
        {"${time}", "\"2023-11-14T22:13:20+00:00\""},
        {"${time+1h}", "\"2023-11-14T23:13:20+00:00\""},
        {"${root.unit}", "\"C\""},
        {"${root.a[0].c}", "5"},
        {"${root.none?-}", "\"-\""},
        {"${root.none}", "!no root.none in the payload"},
        {"in ${root.a}", "!root.a is an array, which cannot stand inside text"},
        {"${.}", "{\"c\":5}"},
        {"${root}", "{\"unit\":\"C\",\"a\":[{\"c\":5}]}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_text char *got = render_scope(cases[i][0], &scope);
        assert_string_equal(got, cases[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_template_keeps_the_type_of_a_lone_placeholder),
        cmocka_unit_test(test_template_keeps_the_text_of_numbers),
        cmocka_unit_test(test_template_refuses_whole_numbers_that_would_change),
        cmocka_unit_test(test_template_walks_paths),
        cmocka_unit_test(test_template_names_the_missing_path),
        cmocka_unit_test(test_template_optional_paths_and_defaults),
        cmocka_unit_test(test_template_text_of_several_parts),
        cmocka_unit_test(test_template_times),
        cmocka_unit_test(test_template_time_and_root),
        cmocka_unit_test(test_template_asset_cells),
        cmocka_unit_test(test_template_words),
        cmocka_unit_test(test_template_value_is_the_payload_without_a_trigger),
        cmocka_unit_test(test_template_says_that_the_payload_is_no_json),
        cmocka_unit_test(test_template_literals),
        cmocka_unit_test(test_template_says_what_it_uses),
        cmocka_unit_test(test_template_names_the_error_and_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
