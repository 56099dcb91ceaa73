/* SPDX-License-Identifier: Apache-2.0 */
/* The mobility_work plugin's bulk calls at their limits: lengths, ten thousand items, requests without end. */
#include "mobility_work.h"

#define MANY 10000
#define MOST_SENDS 32

/* {"<member>": "<unit, count times>", <others>} */
static char *body_with(const char *member, const char *unit, int count, const char *others)
{
    struct buf body = {0};
    buf_printf(&body, "{\"%s\":\"", member);
    for (int i = 0; i < count; i++)
        buf_puts(&body, unit);
    buf_printf(&body, "\"%s}", others);
    buf_putc(&body, '\0');
    return body.data;
}

static const struct limit {
    const char *operation, *member, *others;
    int min, max;
} limits[] = {
    {"spare_part.create", "name",
     ",\"externalReference\":\"A\",\"unitPrice\":{\"amount\":1,\"currency\":\"EUR\"},\"stock\":1", 3, 255},
    {"spare_part.create", "description",
     ",\"name\":\"Bearing\",\"externalReference\":\"A\",\"unitPrice\":{\"amount\":1,\"currency\":\"EUR\"},\"stock\":1",
     3, 3000},
    {"spare_part.update", "name", ",\"id\":\"A\"", 3, 255},
    {"spare_part.update", "description", ",\"id\":\"A\"", 3, 3000},
    {"equipment.create", "name", "", 1, 255},
    {"equipment.update", "name", ",\"id\":1", 3, 255},
    {"equipment.update", "description", ",\"id\":1", 3, 3000},
    {"equipment.update", "costCenter", ",\"id\":1", 3, 255},
    {"equipment.update", "itemCode", ",\"id\":1", 1, 255},
    {"location.create", "name", "", 1, 255},
};

static void expect_length(const struct limit *limit, int count, enum bb_next next, const char *key)
{
    char pointer[32];
    char *body = body_with(limit->member, "é", count, limit->others);
    struct call call;
    snprintf(pointer, sizeof pointer, "/%s", limit->member);
    ask(&call, limit->operation, body);
    assert_int_equal(call.next, next);
    if (key)
        assert_true(has_field(&call, pointer, key));
    finish(&call);
    free(body);
}

/* MW-E01, E03, E04, E05, E06; characters, not bytes (U19). */
static void test_mobility_work_bulk_lengths(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(limits); i++) {
        expect_length(&limits[i], limits[i].min, BB_SEND, NULL);
        expect_length(&limits[i], limits[i].max, BB_SEND, NULL);
        expect_length(&limits[i], limits[i].min - 1, BB_REJECT, "min_length");
        expect_length(&limits[i], limits[i].max + 1, BB_REJECT, "max_length");
    }
}

static void test_mobility_work_bulk_item_too_large(void **state)
{
    (void)state;
    struct call call;
    char *body = body_with("id", "x", 70000, "");
    ask(&call, "spare_part.update", body);
    assert_int_equal(call.next, BB_REJECT);
    assert_true(has_field(&call, "", "max_size"));
    finish(&call);
    free(body);
}

/* ---- ten thousand -------------------------------------------------------------------- */

static struct {
    struct bb_job job;
    struct bb_message messages[MANY];
    char bodies[MANY][48];
    struct bb_out out;
    size_t sends;
} bulk;

static void start(size_t count)
{
    memset(&bulk, 0, sizeof bulk);
    job_init(&bulk.job, "mw", "mobility_work", count, NOW_MS);
    for (size_t i = 0; i < count; i++) {
        snprintf(bulk.bodies[i], sizeof bulk.bodies[i], "{\"id\":\"P-%zu\",\"quantity\":%zu}", i, i % 97);
        bulk.messages[i] = (struct bb_message){
            .id = "0190-delivery", .order_id = "0190-order", .body = {bulk.bodies[i], strlen(bulk.bodies[i])}};
    }
}

static enum bb_next step(size_t count, const char *answer_text, int status)
{
    struct bb_response response = {
        .size = sizeof response, .status = status, .body = {answer_text, answer_text ? strlen(answer_text) : 0}};
    struct bb_in in = {.size = sizeof in,
                       .job = &bulk.job,
                       .operation = "spare_part.set_stock",
                       .messages = bulk.messages,
                       .message_size = sizeof bulk.messages[0],
                       .message_count = count,
                       .response = answer_text ? &response : NULL,
                       .state = &bulk.job.state,
                       .attempt = 1,
                       .now_ms = NOW_MS};
    bulk.out = (struct bb_out){.size = sizeof bulk.out};
    const enum bb_next next = plugin->step(host_table(), settings, &in, &bulk.out);
    assert_null(job_review(&bulk.job, next, &bulk.out));
    bulk.sends += next == BB_SEND;
    return next;
}

static size_t sent_items(void)
{
    struct json_object *body =
        json_parse((struct span){bulk.out.request.body.data, bulk.out.request.body.len}, NULL, NULL);
    assert_non_null(body);
    size_t count = 0;
    for (bool found = true; found; count += found) {
        char pointer[16];
        snprintf(pointer, sizeof pointer, "/%zu", count);
        json_pointer(body, pointer, &found);
    }
    json_free(&body);
    return count;
}

/* MW-C10, U12: three bad ones in ten thousand cost one more request, and have their pointers. */
static void test_mobility_work_bulk_three_bad_in_ten_thousand(void **state)
{
    (void)state;
    static const size_t bad[] = {0, 4711, MANY - 1};
    start(MANY);
    assert_int_equal(step(MANY, NULL, 0), BB_SEND);
    assert_int_equal(sent_items(), MANY);
    assert_int_equal(step(MANY,
                          "{\"code\":\"400044\",\"extended_message\":{\"property_errors\":{"
                          "\"/9999/quantity\":[{\"messageKey\":\"error.payload.a\"}],\"/0/"
                          "id\":[{\"messageKey\":\"error.payload.b\"}],"
                          "\"/4711/quantity\":[{\"messageKey\":\"error.payload.c\"}]}}}",
                          400),
                     BB_SEND);
    assert_int_equal(sent_items(), MANY - 3);
    assert_int_equal(step(MANY, "null", 202), BB_DONE);
    assert_true(bulk.out.unconfirmed); /* MW-C06 */
    assert_int_equal(bulk.sends, 2);
    size_t next_bad = 0;
    for (size_t i = 0; i < MANY; i++) {
        if (next_bad == COUNT(bad) || bad[next_bad] != i) {
            assert_int_equal(bulk.job.items[i].verdict, 0);
            continue;
        }
        assert_int_equal(bulk.job.items[i].verdict, BB_REJECT);
        assert_string_equal(bulk.job.items[i].error.code, "400044");
        assert_non_null(strstr(bulk.job.items[i].error.rejected_fields, next_bad == 0 ? "\"/id\"" : "\"/quantity\""));
        next_bad++;
    }
    job_finish(&bulk.job);
}

/* U12: one bad one that nobody names is found within one attempt. */
static void test_mobility_work_bulk_finds_one_bad_in_ten_thousand(void **state)
{
    (void)state;
    start(MANY);
    enum bb_next next = step(MANY, NULL, 0);
    while (next == BB_SEND) {
        const bool bad = strstr(bulk.out.request.body.data, "\"P-6173\"") != NULL;
        next = step(MANY, bad ? "{}" : "null", bad ? 400 : 202);
    }
    assert_int_equal(next, BB_DONE);
    assert_true(bulk.out.unconfirmed);
    assert_in_range(bulk.sends, 15, MOST_SENDS);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(bulk.job.items[i].verdict, i == 6173 ? BB_REJECT : 0);
    job_finish(&bulk.job);
}

/* An attempt ends; what it found out by then is kept. */
static void test_mobility_work_bulk_search_is_bounded(void **state)
{
    (void)state;
    size_t rejected = 0, open = 0;
    start(MANY);
    enum bb_next next = step(MANY, NULL, 0);
    while (next == BB_SEND)
        next = step(MANY, "{}", 400);
    assert_int_equal(next, BB_RETRY);
    assert_string_equal(bulk.out.error.code, "batch_refused");
    assert_int_equal(bulk.sends, MOST_SENDS);
    for (size_t i = 0; i < MANY; i++) {
        rejected += bulk.job.items[i].verdict == BB_REJECT;
        open += bulk.job.items[i].verdict == 0;
    }
    assert_true(rejected > 5);
    assert_int_equal(rejected + open, MANY);
    job_finish(&bulk.job);
}

/* MW-C06: accepted by a 202 is not confirmed, also where the rest of the batch fails; by a 201 it is. */
static void test_mobility_work_bulk_what_was_accepted_stays_unconfirmed(void **state)
{
    (void)state;
    static const int accepted[] = {202, 201};
    for (size_t i = 0; i < COUNT(accepted); i++) {
        start(2);
        assert_int_equal(step(2, NULL, 0), BB_SEND);
        assert_int_equal(step(2, "{}", 400), BB_SEND); /* one at a time from here on */
        assert_int_equal(step(2, "null", accepted[i]), BB_SEND);
        assert_int_equal(step(2, "null", 503), BB_RETRY);
        assert_int_equal(bulk.job.items[0].verdict, BB_DONE);
        assert_int_equal(bulk.job.items[1].verdict, 0);
        assert_int_equal(bulk.out.unconfirmed, accepted[i] == 202);
        job_finish(&bulk.job);
    }
}

int main(void)
{
    if (!load_plugin())
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(bulk_lengths),
        TEST(bulk_item_too_large),
        TEST(bulk_three_bad_in_ten_thousand),
        TEST(bulk_finds_one_bad_in_ten_thousand),
        TEST(bulk_search_is_bounded),
        TEST(bulk_what_was_accepted_stays_unconfirmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
