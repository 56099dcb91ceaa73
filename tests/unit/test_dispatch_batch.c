/* SPDX-License-Identifier: Apache-2.0 */
/* Batches through the dispatcher: what goes together, what becomes of each, and what a restart finds. */
#include "dispatch_house.h"

static const struct bb_operation many[] = {
    {.name = "thing.set", .flags = BB_WRITES | BB_IDEMPOTENT, .max_batch = 5, .coalesce = "/k"},
    {.name = "thing.add", .flags = BB_WRITES | BB_CREATES | BB_PARK, .max_batch = 5},
};

static char asked[600]; /* the ids of each call's messages: "a b; c; " */
static enum bb_next (*then)(const struct bb_host *host, const struct bb_in *in, struct bb_out *out);

static enum bb_next note_ids(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    for (size_t i = 0; i < in->message_count; i++) {
        const struct bb_message *message = (const void *)((const char *)in->messages + i * in->message_size);
        snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%s%s", i > 0 ? " " : "", message->id);
    }
    snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "; ");
    return then(host, in, out);
}

#define ASKED(expected)                       \
    do {                                      \
        assert_string_equal(asked, expected); \
        asked[0] = '\0';                      \
    } while (0)

static int setup_many(void **state)
{
    if (setup(state) != 0)
        return -1;
    struct house *house = *state;
    asked[0] = '\0';
    then = done;
    plugin_says.step = note_ids;
    house->plugin.operations = many;
    house->plugin.operation_count = 2;
    return 0;
}

/* In a lane of its own. */
static void put_one(struct house *house, const char *id, const char *operation, const char *body)
{
    struct delivery delivery = delivery_of(id, operation, id);
    delivery.body = span_of(body);
    put(house, delivery);
}

static void put_ids(struct house *house, const char *operation, const char *ids)
{
    for (char id[] = "?"; *ids != '\0'; ids++) {
        id[0] = *ids;
        put_one(house, id, operation, "{}");
    }
}

struct whole {
    char batch[UUID_TEXT_MAX], merged_into[UUID_TEXT_MAX], code[32], id[UUID_TEXT_MAX];
};

static void copy_whole(void *context, const struct delivery *delivery)
{
    struct whole *whole = context;
    snprintf(whole->id, sizeof(whole->id), "%s", delivery->id);
    snprintf(whole->batch, sizeof(whole->batch), "%s", delivery->batch != NULL ? delivery->batch : "");
    snprintf(whole->merged_into, sizeof(whole->merged_into), "%s",
             delivery->merged_into != NULL ? delivery->merged_into : "");
    snprintf(whole->code, sizeof(whole->code), "%s", delivery->error.code != NULL ? delivery->error.code : "");
}

static struct whole whole(struct house *house, const char *id)
{
    struct whole whole = {0};
    assert_int_equal(store_find_delivery(house->store->session, id, copy_whole, &whole), 0);
    return whole;
}

static void assert_states(struct house *house, const char *ids, enum delivery_state state, int attempts)
{
    for (char id[] = "?"; *ids != '\0'; ids++) {
        id[0] = *ids;
        struct seen seen = look(house, id);
        assert_int_equal(seen.state, state);
        assert_int_equal(seen.attempts, attempts);
    }
}

static void restart(struct house *house)
{
    dispatch_destroy(house->dispatch);
    start(house);
}

/* The attempts are counted, and then nothing more is heard of the process. */
static void die_before_the_plugin(struct house *house)
{
    assert_true(dispatch_pick(house->dispatch, house->now_ms, house->now_ms));
    WRITE(house->store->session, dispatch_store(house->dispatch));
    restart(house);
}

/* ---- together */

static void test_dispatch_batch_of_what_is_pending_together(void **state)
{
    HOUSE;
    put_ids(house, "thing.add", "abcdefg");
    put_ids(house, "thing.set", "xy");
    start(house);
    run(house);
    assert_non_null(strstr(asked, "a b c d e; "));
    assert_non_null(strstr(asked, "f g; "));
    assert_non_null(strstr(asked, "x y; "));
    assert_int_equal(plugin_says.steps, 3);
    assert_states(house, "abcdefgxy", DELIVERY_DELIVERED, 1);
    assert_string_equal(whole(house, "a").batch, whole(house, "e").batch);
    assert_string_not_equal(whole(house, "a").batch, whole(house, "f").batch);
    assert_int_equal(dispatch_in_flight(house->dispatch), 0);
}

static void test_dispatch_batch_as_the_route_says(void **state)
{
    HOUSE;
    static char two[] = "two", waits[] = "waits", alone[] = "alone", mw[] = "mw", add[] = "thing.add";
    struct config_route routes[] = {
        {.name = two, .target = mw, .operation = add, .batch = {.max = 2, .wait_ms = -1}},
        {.name = waits, .target = mw, .operation = add, .batch = {.max = -1, .wait_ms = 500}},
        {.name = alone, .target = mw, .operation = add, .batch = {.max = 1, .wait_ms = -1}},
    };
    house->config.routes = routes;
    house->config.route_count = 3;
    for (int i = 0; i < 9; i++) {
        char id[] = {(char)('a' + i), '\0'};
        struct delivery delivery = delivery_of(id, add, id);
        delivery.route = routes[i / 3].name;
        put(house, delivery);
    }
    start(house);
    run(house);
    assert_int_equal(plugin_says.steps, 5);
    assert_non_null(strstr(asked, "a b; "));
    assert_non_null(strstr(asked, "g; "));
    assert_null(strstr(asked, "d"));
    assert_int_equal(dispatch_next_due(house->dispatch), NOW + 500);
    asked[0] = '\0';
    house->now_ms += 500;
    run(house);
    ASKED("d e f; ");
    house->config.routes = NULL;
    house->config.route_count = 0;
}

static void test_dispatch_batch_takes_the_newest_of_a_key(void **state)
{
    HOUSE;
    start(house);
    int64_t pending = dispatch_total(DELIVERY_PENDING);
    put_one(house, "a", "thing.set", "{\"k\": {\"x\": 1, \"y\": [2, {\"q\": 1, \"p\": 2}]}, \"v\": 1}");
    put_one(house, "b", "thing.set", "{\"k\": \"P\"}");
    put_one(house, "c", "thing.set", "{\"v\": 2, \"k\": {\"y\": [2, {\"p\": 2, \"q\": 1}], \"x\": 1}}");
    put_one(house, "d", "thing.set", "{\"k\": {\"type\": \"t\", \"value\": \"P\"}}"); /* nothing is inferred */
    put_one(house, "e", "thing.set", "{\"k\": \"P\"}");
    put_one(house, "f", "thing.set", "{}");
    put_one(house, "g", "thing.set", "{}"); /* without a key nothing takes its place */
    run(house);
    ASKED("c d e f g; ");
    assert_states(house, "cdefg", DELIVERY_DELIVERED, 1);
    assert_states(house, "ab", DELIVERY_DELIVERED, 0);
    assert_string_equal(whole(house, "a").merged_into, "c");
    assert_string_equal(whole(house, "b").merged_into, "e");
    assert_int_equal(dispatch_total(DELIVERY_PENDING), pending);
}

/* Until it is committed, nothing is merged and nothing frozen. */
static void test_dispatch_batch_that_was_not_stored_is_made_anew(void **state)
{
    HOUSE;
    put_one(house, "a", "thing.set", "{\"k\": 1}");
    put_one(house, "b", "thing.set", "{\"k\": 1}");
    start(house);
    assert_true(turn_stored(house, false));
    assert_states(house, "ab", DELIVERY_PENDING, 0);
    assert_string_equal(whole(house, "a").merged_into, "");
    put_one(house, "c", "thing.set", "{\"k\": 1}");
    house->now_ms += 2000;
    run(house);
    ASKED("c; ");
    assert_string_equal(whole(house, "a").merged_into, "c");
    assert_string_equal(whole(house, "b").merged_into, "c");
}

/* ---- each its verdict */

static enum bb_next settle_each(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    const struct bb_error error = {.error_class = BB_VALIDATION, .code = "bad", .message = "bad"};
    const struct bb_error later = {.error_class = BB_PROVIDER_UNAVAILABLE, .code = "later", .message = "later"};
    (void)out;
    if (in->message_count > 1) {
        host->settle(in->job, 1, BB_REJECT, &error);
        host->settle(in->job, 2, BB_RETRY, &later);
        host->settle(in->job, 3, BB_RETRY, &later);
    }
    return BB_DONE;
}

static void test_dispatch_batch_gives_each_item_its_verdict(void **state)
{
    HOUSE;
    then = settle_each;
    put_ids(house, "thing.add", "abcde");
    start(house);
    run(house);
    ASKED("a b c d e; ");
    assert_states(house, "ae", DELIVERY_DELIVERED, 1);
    assert_states(house, "b", DELIVERY_REJECTED, 1);
    assert_states(house, "cd", DELIVERY_RETRYING, 1);
    assert_string_equal(whole(house, "b").code, "bad");
    assert_string_equal(whole(house, "c").code, "later");
    put_ids(house, "thing.add", "f");
    then = done;
    run(house);
    ASKED("f; "); /* what remains of a batch is that batch, and waits for its time */
    house->now_ms += 5000;
    run_acked(house);
    ASKED("c d; ");
    assert_string_equal(whole(house, "c").batch, whole(house, "a").batch);
    assert_states(house, "cd", DELIVERY_DELIVERED, 2);
}

static void test_dispatch_batch_that_fails_for_good_is_a_dead_letter_each(void **state)
{
    HOUSE;
    const char *error = NULL;
    house->target_config.retry.attempts = 2;
    then = retry;
    put_ids(house, "thing.add", "abc");
    start(house);
    run(house);
    assert_states(house, "abc", DELIVERY_RETRYING, 1);
    house->now_ms += 5000;
    run(house);
    ASKED("a b c; a b c; ");
    assert_states(house, "abc", DELIVERY_REJECTED, 2);
    then = done; /* retried by hand, they are as new */
    put_ids(house, "thing.add", "d");
    assert_int_equal(dispatch_retry(house->dispatch, "b", &error), 0);
    assert_int_equal(dispatch_retry(house->dispatch, "a", &error), 0);
    restart(house); /* nor does the store know a batch of theirs */
    run_acked(house);
    ASKED("a b d; ");
    assert_string_equal(whole(house, "a").batch, whole(house, "d").batch);
}

static enum bb_next hold(const struct bb_host *host, const struct bb_in *in, struct bb_out *out)
{
    (void)host, (void)in;
    return refuse(out, BB_HOLD);
}

static void test_dispatch_batch_that_is_held_uses_no_attempt(void **state)
{
    HOUSE;
    const char *error = NULL;
    then = hold;
    put_ids(house, "thing.add", "abc");
    start(house);
    run(house);
    assert_true(dispatch_is_held(house->dispatch, "mw"));
    assert_states(house, "abc", DELIVERY_PENDING, 0);
    put_ids(house, "thing.add", "d");
    then = done;
    asked[0] = '\0';
    assert_int_equal(dispatch_resume(house->dispatch, "mw", NULL, &error), 0);
    run_acked(house);
    assert_non_null(strstr(asked, "a b c; "));
    assert_non_null(strstr(asked, "d; "));
}

static void test_dispatch_batch_obeys_the_operator_while_it_waits(void **state)
{
    HOUSE;
    const char *error = NULL;
    then = retry;
    put_ids(house, "thing.set", "abcd");
    start(house);
    run(house);
    ASKED("a b c d; ");
    then = done;
    assert_int_equal(dispatch_discard(house->dispatch, "a", &error), 0);
    assert_int_equal(dispatch_discard(house->dispatch, "c", &error), 0);
    assert_int_equal(dispatch_retry(house->dispatch, "d", &error), 0); /* and its batch with it */
    run(house);
    ASKED("b d; ");
    assert_states(house, "ac", DELIVERY_DISCARDED, 1);
}

/* ---- over a restart */

static void test_dispatch_batch_goes_again_as_it_was_after_a_kill(void **state)
{
    HOUSE;
    put_one(house, "a", "thing.set", "{\"k\": 1}");
    put_one(house, "b", "thing.set", "{\"k\": 2}");
    put_one(house, "c", "thing.set", "{\"k\": 1}");
    start(house);
    die_before_the_plugin(house);
    assert_string_equal(whole(house, "a").merged_into, "c");
    put_one(house, "d", "thing.set", "{\"k\": 1}");
    put_one(house, "e", "thing.set", "{\"k\": 2}");
    run(house);
    assert_true(strcmp(asked, "b c; d e; ") == 0 || strcmp(asked, "d e; b c; ") == 0);
    assert_states(house, "bc", DELIVERY_DELIVERED, 2);
}

static void test_dispatch_batch_of_one_stays_alone(void **state)
{
    HOUSE;
    put_ids(house, "thing.set", "a");
    start(house);
    die_before_the_plugin(house);
    put_ids(house, "thing.set", "bc");
    run(house);
    assert_non_null(strstr(asked, "a; "));
    assert_non_null(strstr(asked, "b c; "));
}

static void test_dispatch_batch_whose_outcome_is_uncertain_is_parked(void **state)
{
    HOUSE;
    const char *error = NULL;
    put_ids(house, "thing.add", "abc");
    start(house);
    die_before_the_plugin(house); /* nobody knows how far it came */
    run(house);
    ASKED("");
    assert_states(house, "abc", DELIVERY_REJECTED, 2);
    assert_string_equal(whole(house, "b").code, "uncertain_outcome");
    assert_int_equal(dispatch_retry(house->dispatch, "b", &error), 0); /* by hand: certain, and as new */
    run_acked(house);
    ASKED("b; ");
}

static void note_seq(void *context, const struct delivery *delivery)
{
    *(int64_t *)context = delivery->seq;
}

/* Counted in this turn, the process dies in the plugin. */
static void die_in_the_plugin_with(struct house *house, const char *id)
{
    int64_t seq = 0;
    assert_true(dispatch_pick(house->dispatch, house->now_ms, house->now_ms));
    WRITE(house->store->session, dispatch_store(house->dispatch));
    assert_int_equal(store_find_delivery(house->store->session, id, note_seq, &seq), 0);
    dispatch_destroy(house->dispatch);
    die_in(house, seq);
    house->now_ms += 1; /* the next turn's stamp */
    start(house);
}

static void test_dispatch_batch_that_kills_is_taken_apart(void **state)
{
    HOUSE;
    put_ids(house, "thing.add", "abc");
    put_ids(house, "thing.set", "z"); /* begun in the same turn */
    start(house);
    die_in_the_plugin_with(house, "a");
    assert_false(look(house, "c").uncertain); /* nothing was sent yet */
    assert_false(look(house, "z").uncertain);
    assert_string_equal(whole(house, "a").batch, whole(house, "c").batch);
    die_in_the_plugin_with(house, "a");
    assert_string_equal(whole(house, "a").batch, "a");
    assert_string_equal(whole(house, "c").batch, "c");
    assert_states(house, "abc", DELIVERY_PENDING, 2);
    die_in_the_plugin_with(house, "b");
    die_in_the_plugin_with(house, "b");
    run(house);
    assert_int_equal(look(house, "b").state, DELIVERY_REJECTED);
    assert_string_equal(whole(house, "b").code, "plugin_crashed");
    assert_int_equal(look(house, "a").state, DELIVERY_DELIVERED);
    assert_int_equal(look(house, "c").state, DELIVERY_DELIVERED);
    assert_non_null(strstr(asked, "a; "));
    assert_non_null(strstr(asked, "c; "));
}

static void test_dispatch_batch_passes_over_what_is_uncertain(void **state)
{
    HOUSE;
    const char *error = NULL;
    then = reject;
    const struct settlement lost = {
        .state = DELIVERY_REJECTED, .uncertain = true, .who = "busbar", .what = "attempt", .now_ms = NOW};
    put_ids(house, "thing.set", "ab");
    WRITE(house->store->session, store_settle(house->store->session, 1, &lost));
    start(house);
    assert_int_equal(dispatch_retry(house->dispatch, "a", &error), 0);
    put_ids(house, "thing.set", "c");
    run(house);
    assert_non_null(strstr(asked, "a; "));
    assert_non_null(strstr(asked, "b c; "));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_many, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_dispatch_batch_of_what_is_pending_together),
        TEST(test_dispatch_batch_as_the_route_says),
        TEST(test_dispatch_batch_takes_the_newest_of_a_key),
        TEST(test_dispatch_batch_that_was_not_stored_is_made_anew),
        TEST(test_dispatch_batch_gives_each_item_its_verdict),
        TEST(test_dispatch_batch_that_fails_for_good_is_a_dead_letter_each),
        TEST(test_dispatch_batch_that_is_held_uses_no_attempt),
        TEST(test_dispatch_batch_obeys_the_operator_while_it_waits),
        TEST(test_dispatch_batch_goes_again_as_it_was_after_a_kill),
        TEST(test_dispatch_batch_of_one_stays_alone),
        TEST(test_dispatch_batch_whose_outcome_is_uncertain_is_parked),
        TEST(test_dispatch_batch_that_kills_is_taken_apart),
        TEST(test_dispatch_batch_passes_over_what_is_uncertain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
