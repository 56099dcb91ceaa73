/* SPDX-License-Identifier: Apache-2.0 */
/* Batches: what of a lane may go together, when it goes, and what becomes of the rest. */
#include "digest.h"
#include "queue.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static void add_to(struct queue *queue, int64_t seq, const char *lane, struct queue_group *group, const char *key)
{
    const struct queue_delivery delivery = {.seq = seq,
                                            .accepted_ms = seq,
                                            .due_ms = seq,
                                            .lane = lane,
                                            .operation = group != NULL ? "many" : "one",
                                            .route = "route",
                                            .group = group,
                                            .key = span_of(key)};
    queue_add(queue, &delivery);
}

/* "1 2>3 3": each entry's seq, and the newer one that takes its place; "-" for none. */
static const char *taken(struct queue *queue, int64_t now_ms, struct queue_entry **head)
{
    static char text[200];
    size_t len = 0;
    *head = queue_take(queue, now_ms, NULL, NULL);
    const struct queue_batch *batch = *head != NULL ? (*head)->batch : NULL;
    snprintf(text, sizeof(text), "-");
    if (*head != NULL && batch == NULL)
        snprintf(text, sizeof(text), "alone %d", (int)(*head)->seq);
    for (size_t i = 0; batch != NULL && i < batch->count; i++) {
        const struct queue_entry *entry = batch->entries[i];
        int n = snprintf(text + len, sizeof(text) - len, "%s%d", i > 0 ? " " : "", (int)entry->seq);
        len += (size_t)n;
        if (entry->merged_into != NULL)
            len += (size_t)snprintf(text + len, sizeof(text) - len, ">%d", (int)entry->merged_into->seq);
    }
    return text;
}

static void test_queue_a_batch_is_the_run_at_the_front_of_each_lane(void **state)
{
    (void)state;
    struct queue *queue = queue_create(100);
    struct queue_entry *batch, *alone;
    struct queue_group *group = queue_group(queue, "many", 10, 0, 0);
    add_to(queue, 1, "x", group, NULL);
    add_to(queue, 2, "y", group, NULL);
    add_to(queue, 3, "x", group, NULL);
    add_to(queue, 4, "x", NULL, NULL); /* another operation: nothing passes it */
    add_to(queue, 5, "x", group, NULL);
    add_to(queue, 6, "z", NULL, NULL);
    add_to(queue, 7, "z", group, NULL);
    assert_int_equal(queue_next_due(queue), 1);
    struct queue_entry *other = queue_take(queue, 10, NULL, NULL);
    assert_int_equal(other->seq, 6); /* lanes and groups take turns */
    assert_string_equal(taken(queue, 10, &batch), "1 2 3");
    assert_true(queue_has_taken(queue, 3) && !queue_has_taken(queue, 4));
    assert_string_equal(taken(queue, 10, &alone), "-");
    queue_remove(queue, batch->batch->entries[0]);
    assert_string_equal(taken(queue, 10, &alone), "-"); /* 3 is still out */
    queue_destroy(queue);
}

static void test_queue_a_lane_goes_on_when_its_part_of_a_batch_is_over(void **state)
{
    (void)state;
    struct queue *queue = queue_create(100);
    struct queue_entry *head, *alone;
    struct queue_group *group = queue_group(queue, "many", 10, 0, 0);
    add_to(queue, 1, "x", group, NULL);
    add_to(queue, 2, "x", group, NULL);
    add_to(queue, 3, "y", group, NULL);
    add_to(queue, 4, "x", NULL, NULL);
    assert_string_equal(taken(queue, 10, &head), "1 2 3");
    struct queue_batch *batch = head->batch;
    struct queue_entry *second = batch->entries[1];
    queue_remove(queue, second);
    assert_string_equal(taken(queue, 10, &alone), "-");
    queue_remove(queue, head);
    assert_string_equal(taken(queue, 10, &alone), "alone 4");
    assert_int_equal(batch->left, 1);
    queue_return(queue, batch->entries[2], 100); /* y's part goes again, as a batch */
    assert_string_equal(taken(queue, 99, &head), "-");
    add_to(queue, 5, "z", group, NULL);
    assert_string_equal(taken(queue, 99, &head), "5");
    assert_string_equal(taken(queue, 100, &head), "3");
    queue_destroy(queue);
}

static void test_queue_a_batch_waits_from_its_oldest_unless_it_is_full(void **state)
{
    (void)state;
    struct queue *queue = queue_create(100);
    struct queue_entry *head;
    struct queue_group *group = queue_group(queue, "many", 3, 100, 0);
    assert_ptr_equal(group, queue_group(queue, "many", 3, 100, 0));
    assert_ptr_not_equal(group, queue_group(queue, "many", 3, 50, 0));
    assert_ptr_not_equal(group, queue_group(queue, "many", 3, 100, 1));
    add_to(queue, 10, "a", group, NULL);
    add_to(queue, 60, "b", group, NULL);
    assert_string_equal(taken(queue, 109, &head), "-");
    assert_int_equal(queue_next_due(queue), 110);
    assert_string_equal(taken(queue, 110, &head), "10 60");
    for (int i = 0; i < 4; i++)
        add_to(queue, 120 + i, (const char *[]){"c", "d", "e", "f"}[i], group, NULL);
    assert_string_equal(taken(queue, 125, &head), "120 121 122"); /* full */
    assert_string_equal(taken(queue, 125, &head), "-");
    assert_int_equal(queue_next_due(queue), 223); /* what is left over waits in its turn */
    add_to(queue, 130, "g", group, NULL);
    add_to(queue, 131, "g", group, NULL); /* behind a head that gathers already */
    assert_string_equal(taken(queue, 140, &head), "123 130 131");
    add_to(queue, 1000000, "h", group, NULL); /* accepted by a clock that ran ahead */
    queue_hasten(queue, queue_find(queue, 1000000), 150);
    assert_string_equal(taken(queue, 150, &head), "-");
    assert_string_equal(taken(queue, 250, &head), "1000000");
    queue_destroy(queue);
}

static void test_queue_of_equal_keys_the_newest_counts(void **state)
{
    (void)state;
    struct queue *queue = queue_create(100);
    struct queue_entry *head;
    struct queue_group *group = queue_group(queue, "many", 3, 1000, 0);
    struct queue_group *other = queue_group(queue, "many", 9, 1000, 0);
    add_to(queue, 1, "x", group, "A");
    add_to(queue, 2, "y", group, "B");
    add_to(queue, 3, "x", group, "A");
    add_to(queue, 4, "z", group, "A");
    add_to(queue, 5, "y", group, "C");
    queue_drop(queue, queue_find(queue, 5));
    add_to(queue, 6, "v", other, "A");                  /* other settings: another batch */
    assert_string_equal(taken(queue, 100, &head), "-"); /* five entries, two items */
    add_to(queue, 7, "w", group, NULL);
    assert_string_equal(taken(queue, 100, &head), "1>4 2 3>4 4 7");
    add_to(queue, 8, "u", group, "A");
    assert_string_equal(taken(queue, 2000, &head), "6");
    assert_string_equal(taken(queue, 2000, &head), "8"); /* those that went are not in its way */
    queue_destroy(queue);
}

static void test_queue_disbands_what_was_not_stored(void **state)
{
    (void)state;
    struct queue *queue = queue_create(100);
    struct queue_entry *head;
    struct queue_group *group = queue_group(queue, "many", 3, 0, 0);
    add_to(queue, 1, "x", group, "A");
    add_to(queue, 2, "x", group, "A");
    assert_string_equal(taken(queue, 10, &head), "1>2 2");
    queue_disband(queue, head->batch);
    add_to(queue, 3, "y", group, "B");
    assert_string_equal(taken(queue, 10, &head), "1>2 2 3");
    queue_destroy(queue);
}

static bool is_alone(void *context, const struct queue_entry *entry)
{
    (void)context;
    return strcmp(entry->operation, "many") != 0;
}

static void test_queue_a_batch_that_waits_is_hastened_dropped_and_parked(void **state)
{
    (void)state;
    struct queue *queue = queue_create(100);
    struct queue_entry *head;
    struct queue_group *group = queue_group(queue, "many", 9, 0, 0);
    for (int i = 1; i <= 4; i++)
        add_to(queue, i, (const char *[]){"a", "b", "c", "a"}[i - 1], group, NULL);
    assert_string_equal(taken(queue, 10, &head), "1 2 3 4");
    queue_return(queue, head, 1000);
    assert_false(queue_has_taken(queue, 2));
    queue_drop(queue, queue_find(queue, 2));
    assert_int_equal(queue_next_due(queue), 1000);
    queue_drop(queue, queue_find(queue, 1)); /* it stood for the others */
    assert_int_equal(queue_next_due(queue), 1000);
    queue_hasten(queue, queue_find(queue, 4), 20);
    assert_int_equal(queue_next_due(queue), 20);
    assert_null(queue_take(queue, 20, is_alone, NULL));
    assert_int_equal(queue_next_due(queue), INT64_MAX);
    add_to(queue, 5, "d", group, NULL);
    assert_null(queue_take(queue, 20, is_alone, NULL)); /* nor what gathers */
    assert_int_equal(queue_next_due(queue), INT64_MAX);
    queue_unpark(queue);
    assert_string_equal(taken(queue, 20, &head), "5");
    assert_string_equal(taken(queue, 20, &head), "3 4");
    queue_return(queue, head, 30);
    queue_drop(queue, queue_find(queue, 3));
    queue_drop(queue, queue_find(queue, 4));
    assert_int_equal(queue_length(queue), 1);
    queue_destroy(queue);
}

static void test_queue_takes_in_a_batch_that_the_store_remembers(void **state)
{
    (void)state;
    struct queue *queue = queue_create(100);
    struct queue_entry *head, *alone;
    struct queue_batch *batch = queue_batch_create("b-1");
    const struct queue_delivery of[] = {{.seq = 4, .lane = "x", .operation = "many"},
                                        {.seq = 7, .lane = "y", .operation = "many"},
                                        {.seq = 9, .lane = "x", .operation = "many"}};
    for (size_t i = 0; i < 3; i++)
        assert_true(queue_batch_add(queue, batch, &of[i]));
    queue_return(queue, batch->entries[0], 50);
    add_to(queue, 4, "x", NULL, NULL); /* the scan meets it again */
    add_to(queue, 10, "x", NULL, NULL);
    assert_string_equal(taken(queue, 49, &head), "-");
    assert_string_equal(taken(queue, 50, &head), "4 7 9");
    assert_string_equal(head->batch->id, "b-1");
    assert_string_equal(taken(queue, 50, &alone), "-");
    for (size_t i = 3; i-- > 0;)
        queue_remove(queue, batch->entries[i]);
    assert_string_equal(taken(queue, 50, &alone), "alone 10");
    queue_destroy(queue);
}

/* What the owner has yet to add belongs to it; and a window that is full can bring no more. */
static void test_queue_a_batch_waits_for_the_scan_but_not_for_ever(void **state)
{
    (void)state;
    struct queue *queue = queue_create(40);
    struct queue_entry *head;
    struct queue_group *group = queue_group(queue, "many", 50, 1000000, 0);
    char lane[8];
    for (int i = 1; i <= 30; i++) {
        snprintf(lane, sizeof(lane), "l%d", i);
        add_to(queue, i, lane, group, NULL);
    }
    assert_null(queue_take(queue, 100, NULL, NULL));
    queue_expect(queue, true);
    assert_null(queue_take(queue, 5000000, NULL, NULL));
    queue_expect(queue, false);
    add_to(queue, 31, "last", group, NULL);
    assert_true(queue_is_tight(queue));
    head = queue_take(queue, 100, NULL, NULL);
    assert_int_equal(head->batch->count, 31);
    queue_destroy(queue);
}

/* What a random run has stored, and its owner's part of the work (dispatch.c). */
enum { MANY = 4000, WAYS = 23 };

static struct {
    int64_t stored;
    size_t over_count;
    int64_t last[WAYS];
    bool rescan, over[MANY + 1];
    struct {
        int64_t accepted_ms;
        struct queue_group *group;
        char key[8];
    } row[MANY + 1];
} house;

static int way_of(int64_t seq)
{
    return (int)(seq * 7 % WAYS);
}

static void is_over(int64_t seq)
{
    assert_false(house.over[seq]);
    house.over[seq] = true;
    house.over_count++;
}

static void scan(struct queue *queue)
{
    size_t rows = 0, room = queue_room(queue);
    if (!(house.rescan || queue_wants_rewind(queue)) || queue_is_tight(queue))
        return;
    queue_rewind(queue);
    for (int64_t seq = queue_last_seq(queue) + 1; seq <= house.stored && rows < room; seq++) {
        char lane[8];
        if (house.over[seq])
            continue;
        rows++;
        snprintf(lane, sizeof(lane), "l%d", way_of(seq));
        const struct queue_delivery delivery = {.seq = seq,
                                                .accepted_ms = house.row[seq].accepted_ms,
                                                .due_ms = house.row[seq].accepted_ms,
                                                .lane = lane,
                                                .operation = "many",
                                                .group = house.row[seq].group,
                                                .key = span_of(house.row[seq].key)};
        queue_add(queue, &delivery);
    }
    house.rescan = rows == room;
}

/* Ends some of what was taken, and returns the rest, or lets it be dropped where it waits. */
static void end(struct queue *queue, struct queue_entry *head, uint64_t dice, int64_t now)
{
    struct queue_batch *batch = head->batch;
    struct queue_entry *one[] = {head}, **all = batch != NULL ? batch->entries : one, *again = NULL;
    if (batch != NULL && !batch->frozen && dice % 7 == 0) {
        queue_disband(queue, batch);
        return;
    }
    if (batch != NULL)
        batch->frozen = true;
    for (size_t i = 0, left = batch != NULL ? batch->left : 1; left > 0; i++) { /* the last one frees it */
        struct queue_entry *entry = all[i];
        left -= entry != NULL ? 1 : 0;
        if (entry == NULL)
            continue;
        if (entry->merged_into == NULL && random_u64() % 4 == 0) {
            again = entry;
            continue;
        }
        int64_t *last = &house.last[way_of(entry->seq)];
        assert_true(batch != NULL || entry->seq > *last);
        *last = entry->seq > *last ? entry->seq : *last;
        is_over(entry->seq);
        queue_remove(queue, entry);
    }
    if (again == NULL)
        return;
    int64_t seq = again->seq;
    queue_return(queue, again, now + 2);
    if (dice % 5 == 0) {
        queue_drop(queue, queue_find(queue, seq));
        is_over(seq);
    }
}

/* Random use: what is of a group comes out in batches, the rest alone; some of a batch is over, the rest goes again, is
 * disbanded, or dropped where it waits. Each comes out in its lane's order, and in the end all were. */
static void test_queue_random_batches_keep_the_rules(void **state)
{
    (void)state;
    int64_t now = 0;
    struct queue *queue = queue_create(300);
    struct queue_group *groups[] = {queue_group(queue, "many", 7, 0, 0), queue_group(queue, "many", 40, 5, 0), NULL};
    struct queue_entry *out[16];
    size_t out_count = 0;
    memset(&house, 0, sizeof(house));
    for (int turn = 0; house.over_count < MANY; turn++) {
        assert_true(turn < 100 * MANY); /* else something was forgotten */
        uint64_t dice = random_u64();
        scan(queue);
        if (dice % 3 == 0 && house.stored < MANY) {
            int64_t seq = ++house.stored;
            house.row[seq].accepted_ms = now;
            house.row[seq].group = groups[dice / 64 % 3];
            if (dice % 2 == 0)
                snprintf(house.row[seq].key, sizeof(house.row[seq].key), "k%d", (int)(dice / 8 % 5));
            house.rescan = true;
        } else if (dice % 3 == 1 && out_count < 16) {
            struct queue_entry *head = queue_take(queue, now, NULL, NULL);
            if (head != NULL)
                out[out_count++] = head;
            now += head != NULL ? 0 : 3;
        } else if (out_count > 0) {
            end(queue, out[--out_count], dice, now);
        }
    }
    assert_int_equal(queue_length(queue), 0);
    queue_destroy(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_a_batch_is_the_run_at_the_front_of_each_lane),
        cmocka_unit_test(test_queue_a_lane_goes_on_when_its_part_of_a_batch_is_over),
        cmocka_unit_test(test_queue_a_batch_waits_from_its_oldest_unless_it_is_full),
        cmocka_unit_test(test_queue_of_equal_keys_the_newest_counts),
        cmocka_unit_test(test_queue_disbands_what_was_not_stored),
        cmocka_unit_test(test_queue_a_batch_that_waits_is_hastened_dropped_and_parked),
        cmocka_unit_test(test_queue_takes_in_a_batch_that_the_store_remembers),
        cmocka_unit_test(test_queue_a_batch_waits_for_the_scan_but_not_for_ever),
        cmocka_unit_test(test_queue_random_batches_keep_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
