/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes: order within one, turns between them, and nothing else in the way. */
#include "digest.h"
#include "queue.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static void add(struct queue *queue, int64_t seq, const char *lane, int64_t due_ms)
{
    const struct queue_delivery delivery = {
        .seq = seq, .lane = lane, .operation = "op", .route = "route", .due_ms = due_ms};
    queue_add(queue, &delivery);
}

static int64_t take(struct queue *queue, int64_t now_ms, struct queue_entry **entry)
{
    *entry = queue_take(queue, now_ms, NULL, NULL);
    return *entry != NULL ? (*entry)->seq : 0;
}

static void test_queue_keeps_order_within_a_lane(void **state)
{
    (void)state;
    struct queue *queue = queue_create(10);
    struct queue_entry *a, *b;
    add(queue, 1, "x", 0);
    add(queue, 2, "x", 0);
    assert_int_equal(take(queue, 0, &a), 1);
    assert_int_equal(take(queue, 0, &b), 0); /* the lane is busy */
    queue_remove(queue, a);
    assert_int_equal(take(queue, 0, &b), 2);
    queue_remove(queue, b);
    assert_int_equal(queue_length(queue), 0);
    queue_destroy(queue);
}

static void test_queue_gives_lanes_turns(void **state)
{
    (void)state;
    struct queue *queue = queue_create(10);
    struct queue_entry *entry;
    for (int64_t seq = 1; seq <= 3; seq++)
        add(queue, seq, "crowded", 0);
    add(queue, 4, "lonely", 0);
    assert_int_equal(take(queue, 0, &entry), 1);
    queue_remove(queue, entry);
    assert_int_equal(take(queue, 0, &entry), 4);
    queue_remove(queue, entry);
    assert_int_equal(take(queue, 0, &entry), 2);
    queue_destroy(queue);
}

static void test_queue_a_waiting_head_holds_its_lane_alone(void **state)
{
    (void)state;
    struct queue *queue = queue_create(10);
    struct queue_entry *entry;
    add(queue, 1, "x", 0);
    add(queue, 2, "x", 0);
    add(queue, 3, "y", 0);
    assert_int_equal(take(queue, 0, &entry), 1);
    queue_return(queue, entry, 1000);
    assert_int_equal(take(queue, 0, &entry), 3);
    queue_remove(queue, entry);
    assert_int_equal(take(queue, 999, &entry), 0);
    assert_int_equal(queue_next_due(queue), 1000);
    assert_int_equal(take(queue, 1000, &entry), 1);
    queue_destroy(queue);
}

static bool not_held(void *context, const struct queue_entry *entry)
{
    return strcmp(entry->operation, context) != 0;
}

static void test_queue_parks_lanes_of_a_held_operation(void **state)
{
    (void)state;
    char held[] = "held";
    struct queue *queue = queue_create(10);
    const struct queue_delivery delivery = {.seq = 1, .lane = "x", .operation = "held"};
    queue_add(queue, &delivery);
    add(queue, 2, "y", 0);
    struct queue_entry *entry = queue_take(queue, 0, not_held, held);
    assert_int_equal(entry->seq, 2);
    assert_null(queue_take(queue, 0, not_held, held));
    assert_int_equal(queue_next_due(queue), INT64_MAX);
    queue_unpark(queue);
    assert_int_equal(queue_take(queue, 0, NULL, NULL)->seq, 1);
    queue_destroy(queue);
}

static void test_queue_finds_drops_and_hastens_what_waits(void **state)
{
    (void)state;
    struct queue *queue = queue_create(10);
    struct queue_entry *entry;
    add(queue, 1, "x", 0);
    add(queue, 2, "x", 0);
    add(queue, 3, "y", 5000);
    assert_int_equal(take(queue, 0, &entry), 1);
    assert_null(queue_find(queue, 1)); /* taken */
    queue_drop(queue, queue_find(queue, 2));
    queue_remove(queue, entry);
    queue_hasten(queue, queue_find(queue, 3), 10);
    assert_int_equal(take(queue, 10, &entry), 3);
    assert_int_equal(queue_length(queue), 1);
    assert_int_equal(queue_room(queue), 9);
    queue_destroy(queue);
}

/* ---- a queue that is refilled from a store of this many */

enum { ALL = 5000, LANES = 37 };

static struct backlog {
    int64_t stored;
    int lane_of[ALL + 1];
    bool over[ALL + 1];
} backlog;

/* Offers what is open, as the owner does. Answers whether there was something to offer. */
static bool refill(struct queue *queue)
{
    queue_rewind(queue);
    int64_t seq = queue_last_seq(queue) + 1;
    bool any = false;
    for (size_t room = queue_room(queue); seq <= backlog.stored && room > 0; seq++) {
        char lane[16];
        if (backlog.over[seq])
            continue;
        snprintf(lane, sizeof(lane), "lane-%d", backlog.lane_of[seq]);
        add(queue, seq, lane, 0);
        any = true;
        room--;
    }
    return any;
}

/* Offers one of the newest ahead of the others, where the queue says that it may. */
static void offer_newest(struct queue *queue, uint64_t dice)
{
    char lane[16];
    int64_t seq = backlog.stored - (int64_t)(dice % 20), before = seq - 1;
    if (seq <= 0 || backlog.over[seq] || queue_ahead(queue) >= 16)
        return;
    while (before > 0 && (backlog.over[before] || backlog.lane_of[before] != backlog.lane_of[seq]))
        before--;
    snprintf(lane, sizeof(lane), "lane-%d", backlog.lane_of[seq]);
    if (queue_may_go_ahead(queue, lane, before))
        queue_add(queue, &(struct queue_delivery){.seq = seq, .lane = lane, .operation = "op", .ahead = true});
}

static bool lane_is_not_held(void *context, const struct queue_entry *entry)
{
    return backlog.lane_of[entry->seq] % 5 != *(int *)context;
}

/* Random use against rules that must always hold: a lane's entries come out in order of seq, at most one
 * of a lane is out, never before its time, and all come out, whatever is held or waits meanwhile. */
static void use_at_random(size_t window)
{
    int64_t last[LANES] = {0}, out_of[LANES] = {0}, now = 0;
    struct queue_entry *out[64];
    size_t out_count = 0, done = 0;
    int held = 0;
    struct queue *queue = queue_create(window);
    backlog = (struct backlog){0};
    for (int turn = 0; done < ALL; turn++) {
        assert_true(turn < 100 * ALL); /* else something was forgotten */
        uint64_t dice = random_u64();
        if (dice % 97 == 0) {
            held = (int)(dice / 97 % 6); /* 5: none */
            queue_unpark(queue);
        } else if (dice % 3 == 0) {
            if (backlog.stored < ALL) /* lane 1 is crowded */
                backlog.lane_of[++backlog.stored] = dice / 3 % 2 == 0 ? 1 : (int)(dice / 3 % LANES);
            if (dice % 4 == 0 && queue_room(queue) >= window / 4)
                refill(queue);
            else if (dice % 4 == 2)
                offer_newest(queue, dice / 64);
        } else if (dice % 3 == 1 && out_count < 64) {
            struct queue_entry *entry = queue_take(queue, now, lane_is_not_held, &held);
            if (entry == NULL) {
                now += 7;
                continue;
            }
            int lane = backlog.lane_of[entry->seq];
            assert_int_equal(out_of[lane], 0);
            assert_true(queue_has_taken(queue, entry->seq));
            assert_true(entry->due_ms <= now);
            assert_true(entry->seq > last[lane]);
            out_of[lane] = entry->seq;
            out[out_count++] = entry;
        } else if (out_count > 0) {
            size_t at = dice % out_count;
            struct queue_entry *entry = out[at];
            int lane = backlog.lane_of[entry->seq];
            out[at] = out[--out_count];
            out_of[lane] = 0;
            if (dice % 5 == 0) {
                queue_return(queue, entry, now + 3);
            } else {
                last[lane] = entry->seq;
                backlog.over[entry->seq] = true;
                queue_remove(queue, entry);
                done++;
            }
        }
    }
    assert_int_equal(queue_length(queue), 0);
    assert_int_equal(queue_ahead(queue), 0);
    queue_destroy(queue);
}

static void test_queue_random_use_keeps_the_rules(void **state)
{
    (void)state;
    use_at_random(300);
    use_at_random(40); /* a backlog is mostly longer */
}

static void test_queue_the_newest_go_ahead_where_they_overtake_nothing(void **state)
{
    (void)state;
    struct queue *queue = queue_create(2);
    struct queue_entry *entry;
    const struct queue_delivery newest = {.seq = 100, .lane = "new", .operation = "op", .ahead = true},
                                after = {.seq = 101, .lane = "new", .operation = "op", .ahead = true};
    add(queue, 1, "x", 0);
    add(queue, 2, "y", 0); /* and 3, of x, and 4, of z, are in the store */
    assert_false(queue_may_go_ahead(queue, "x", 3));
    assert_true(queue_may_go_ahead(queue, "x", 1));
    assert_false(queue_may_go_ahead(queue, "z", 4));
    assert_true(queue_may_go_ahead(queue, "new", 0));
    queue_add(queue, &newest);
    assert_false(queue_may_go_ahead(queue, "new", 0));
    assert_true(queue_may_go_ahead(queue, "new", 100));
    queue_add(queue, &after);
    assert_int_equal(queue_last_seq(queue), 2); /* from there the owner goes on */
    assert_int_equal(queue_length(queue), 2);
    assert_int_equal(queue_ahead(queue), 2);
    for (int64_t seq = 1; seq <= 2; seq++) {
        assert_int_equal(take(queue, 0, &entry), seq);
        queue_remove(queue, entry);
    }
    assert_int_equal(take(queue, 0, &entry), 100);
    queue_remove(queue, entry);
    add(queue, 101, "new", 0); /* met again: now it is of the window */
    assert_int_equal(queue_ahead(queue), 0);
    assert_int_equal(queue_length(queue), 1);
    queue_destroy(queue);
}

static void test_queue_is_not_filled_by_one_lane(void **state)
{
    (void)state;
    struct queue *queue = queue_create(400);
    struct queue_entry *entry;
    backlog = (struct backlog){.stored = 1000};
    backlog.lane_of[1000] = 1;
    while (queue_last_seq(queue) < 1000)
        assert_true(refill(queue));
    assert_int_equal(take(queue, 0, &entry), 1);
    assert_int_equal(take(queue, 0, &entry), 1000);
    queue_destroy(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_keeps_order_within_a_lane),
        cmocka_unit_test(test_queue_gives_lanes_turns),
        cmocka_unit_test(test_queue_a_waiting_head_holds_its_lane_alone),
        cmocka_unit_test(test_queue_parks_lanes_of_a_held_operation),
        cmocka_unit_test(test_queue_finds_drops_and_hastens_what_waits),
        cmocka_unit_test(test_queue_random_use_keeps_the_rules),
        cmocka_unit_test(test_queue_the_newest_go_ahead_where_they_overtake_nothing),
        cmocka_unit_test(test_queue_is_not_filled_by_one_lane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
