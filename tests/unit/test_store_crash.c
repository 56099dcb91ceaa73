/* SPDX-License-Identifier: Apache-2.0 */
/* What a killed process leaves behind: all that was acknowledged, and the breadcrumb. MW-P25 */
#include "store_fixture.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 8
#define GROUP 16

/* A child that writes groups and says through the pipe what it has committed, until it is killed. */
static void write_for_ever(struct fixture *fixture, int round, int out)
{
    fixture_open(fixture);
    for (int64_t n = 0;;) {
        if (store_begin(fixture->session) != 0)
            _exit(1);
        for (int i = 0; i < GROUP; i++, n++) {
            char id[64];
            snprintf(id, sizeof id, "r%d-%" PRId64, round, n);
            struct delivery delivery = make_delivery(id, "mw");
            if (store_add_delivery(fixture->session, &delivery) != 0)
                _exit(1);
        }
        if (store_commit(fixture->session) != 0 || write(out, &n, sizeof n) != sizeof n)
            _exit(1);
        if (n % (GROUP * 40) == 0)
            store_checkpoint(fixture->session);
    }
}

static int64_t kill_after(pid_t child, int in, int acknowledgements)
{
    int64_t count = 0, last = 0;
    while (acknowledgements-- > 0 && read(in, &count, sizeof count) == sizeof count)
        last = count;
    kill(child, SIGKILL);
    while (read(in, &count, sizeof count) == sizeof count) /* said before the kill came */
        last = count;
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return last;
}

static void test_store_keeps_all_that_a_killed_process_committed(void **state)
{
    struct fixture *fixture = *state;
    unsigned seed = 20261122;
    for (int round = 0; round < ROUNDS; round++) {
        int pipe_fds[2];
        assert_int_equal(pipe(pipe_fds), 0);
        pid_t child = fork();
        if (child == 0) {
            close(pipe_fds[0]);
            write_for_ever(fixture, round, pipe_fds[1]);
        }
        close(pipe_fds[1]);
        int64_t promised = kill_after(child, pipe_fds[0], 1 + rand_r(&seed) % 300);
        close(pipe_fds[0]);

        fixture_open(fixture);
        for (int64_t n = 0; n < promised; n++) {
            char id[64];
            snprintf(id, sizeof id, "r%d-%" PRId64, round, n);
            assert_true(has_delivery(fixture->session, id));
        }
        char id[64]; /* a group is there wholly or not at all */
        snprintf(id, sizeof id, "r%d-%" PRId64, round, promised);
        bool first = has_delivery(fixture->session, id);
        snprintf(id, sizeof id, "r%d-%" PRId64, round, promised + GROUP - 1);
        assert_true(has_delivery(fixture->session, id) == first);
        fixture_close(fixture);
    }
}

/* Runs work in a process that is then killed with the store open. */
static void in_a_killed_process(struct fixture *fixture, void (*work)(struct fixture *fixture))
{
    pid_t child = fork();
    if (child == 0) {
        fixture_open(fixture);
        work(fixture);
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void put_one(struct fixture *fixture)
{
    put_delivery(fixture->session, "a", "mw");
}

static void test_store_read_only_works_after_a_kill(void **state)
{
    struct fixture *fixture = *state;
    in_a_killed_process(fixture, put_one);
    fixture->options.read_only = true;
    fixture_open(fixture);
    assert_true(has_delivery(fixture->session, "a"));
}

static void begin_an_attempt(struct fixture *fixture)
{
    struct delivery out = make_delivery("out", "mw"), in = make_delivery("in", "mw");
    in.kind = DELIVERY_IN;
    store_begin(fixture->session);
    store_add_delivery(fixture->session, &out);
    store_add_delivery(fixture->session, &in);
    store_start_attempt(fixture->session, out.seq, NULL, NOW);
    store_start_attempt(fixture->session, in.seq, NULL, NOW);
    store_commit(fixture->session);
}

static void see_recovered(void *context, const struct delivery *delivery)
{
    ++*(int *)context;
    assert_false(delivery->in_flight);
    assert_int_equal(delivery->attempts, 1);
    assert_true(delivery->uncertain == (delivery->kind == DELIVERY_OUT));
}

static void test_store_recover_finds_the_attempts_of_a_killed_process(void **state)
{
    struct fixture *fixture = *state;
    in_a_killed_process(fixture, begin_an_attempt);
    fixture_open(fixture);
    assert_int_equal(store_begin(fixture->session), 0);
    assert_int_equal(store_recover(fixture->session, 0, NOW), 2);
    assert_int_equal(store_commit(fixture->session), 0);
    int count = 0;
    assert_int_equal(store_find_delivery(fixture->session, "out", see_recovered, &count), 0);
    assert_int_equal(store_find_delivery(fixture->session, "in", see_recovered, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(store_begin(fixture->session), 0);
    assert_int_equal(store_recover(fixture->session, 0, NOW), 0);
    store_rollback(fixture->session);
}

/* ---- the breadcrumb ----------------------------------------------------------*/

static void work_on_7(struct fixture *fixture)
{
    store_crumb_set(fixture->store, CRUMB_INTAKE, 7);
}

static void work_on_8(struct fixture *fixture)
{
    store_crumb_set(fixture->store, CRUMB_INTAKE, 8);
}

static void work_off_7(struct fixture *fixture)
{
    store_crumb_set(fixture->store, CRUMB_INTAKE, 7);
    store_crumb_clear(fixture->store, CRUMB_INTAKE);
}

static void work_off_9(struct fixture *fixture)
{
    store_crumb_set(fixture->store, CRUMB_INTAKE, 9);
    store_crumb_clear(fixture->store, CRUMB_INTAKE);
}

static void assert_crumb(struct fixture *fixture, enum store_crumb which, uint64_t value, int deaths)
{
    fixture_open(fixture);
    int found_deaths = -1;
    assert_int_equal(store_crumb_found(fixture->store, which, &found_deaths), value);
    assert_int_equal(found_deaths, deaths);
    fixture_close(fixture);
}

static void write_ten(struct fixture *fixture)
{
    for (int i = 0; i < 10; i++) {
        cleanup_text char *id = mem_printf("d-%d", i);
        put_delivery(fixture->session, id, "mw");
    }
}

/* SQLite reads up to the wrong frame and says nothing. */
static void test_store_says_that_its_log_is_wrong_in_the_middle(void **state)
{
    struct fixture *fixture = *state;
    in_a_killed_process(fixture, write_ten);
    cleanup_text char *path = mem_printf("%s-wal", fixture->path);
    FILE *file = fopen(path, "r+");
    fseek(file, 0, SEEK_END);
    long where = ftell(file) / 2;
    fseek(file, where, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, where, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
    fixture_open(fixture);
    assert_true(store_unread_commits(fixture->store) > 1);
    assert_true(has_delivery(fixture->session, "d-0"));
    assert_false(has_delivery(fixture->session, "d-9"));
}

static void test_store_log_of_a_killed_process_is_read_whole(void **state)
{
    struct fixture *fixture = *state;
    in_a_killed_process(fixture, write_ten);
    fixture_open(fixture);
    assert_int_equal(store_unread_commits(fixture->store), 0);
    assert_true(has_delivery(fixture->session, "d-9"));
}

/* The end that a power cut tore: one commit, of which nobody was told. */
static void test_store_log_with_a_torn_end_is_nothing_to_tell(void **state)
{
    struct fixture *fixture = *state;
    in_a_killed_process(fixture, write_ten);
    cleanup_text char *path = mem_printf("%s-wal", fixture->path);
    FILE *file = fopen(path, "r+");
    fseek(file, -100, SEEK_END);
    fputs("torn", file);
    fclose(file);
    fixture_open(fixture);
    assert_true(store_unread_commits(fixture->store) <= 1);
    assert_true(has_delivery(fixture->session, "d-8"));
}

static void test_store_crumb_is_empty_at_first(void **state)
{
    assert_crumb(*state, CRUMB_INTAKE, 0, 0);
    assert_crumb(*state, CRUMB_PLUGIN, 0, 0);
}

static void test_store_crumb_counts_deaths_in_a_row(void **state)
{
    in_a_killed_process(*state, work_on_7);
    in_a_killed_process(*state, work_on_7);
    assert_crumb(*state, CRUMB_INTAKE, 7, 2);
    assert_crumb(*state, CRUMB_PLUGIN, 0, 0);
}

static void test_store_crumb_of_another_value_counts_anew(void **state)
{
    in_a_killed_process(*state, work_on_7);
    in_a_killed_process(*state, work_on_8);
    assert_crumb(*state, CRUMB_INTAKE, 8, 1);
}

static void test_store_crumb_survives_runs_that_do_not_meet_it(void **state)
{
    in_a_killed_process(*state, work_on_7);
    in_a_killed_process(*state, work_off_9);
    assert_crumb(*state, CRUMB_INTAKE, 7, 1); /* and this is a clean end */
    assert_crumb(*state, CRUMB_INTAKE, 7, 1);
    in_a_killed_process(*state, work_on_7);
    assert_crumb(*state, CRUMB_INTAKE, 7, 2);
}

static void test_store_crumb_is_forgotten_once_worked_off(void **state)
{
    in_a_killed_process(*state, work_on_7);
    in_a_killed_process(*state, work_off_7);
    assert_crumb(*state, CRUMB_INTAKE, 0, 0);
    in_a_killed_process(*state, work_on_7);
    assert_crumb(*state, CRUMB_INTAKE, 7, 1);
}

static void test_store_crumb_of_a_clean_end_is_none(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture);
    work_off_9(fixture);
    fixture_close(fixture);
    assert_crumb(fixture, CRUMB_INTAKE, 0, 0);
}

/* After a power cut it is what the kernel wrote back at some time: it tells nothing. */
static void test_store_crumb_of_another_boot_is_none(void **state)
{
    struct fixture *fixture = *state;
    in_a_killed_process(fixture, work_on_7);
    cleanup_text char *path = mem_printf("%s.crumb", fixture->path);
    FILE *file = fopen(path, "r+");
    fseek(file, 8, SEEK_SET); /* behind the magic number */
    fputs("anothr", file);
    fclose(file);
    assert_crumb(fixture, CRUMB_INTAKE, 0, 0);
    in_a_killed_process(fixture, work_on_7);
    assert_crumb(fixture, CRUMB_INTAKE, 7, 1);
}

static void test_store_crumb_file_of_rubbish_is_begun_anew(void **state)
{
    struct fixture *fixture = *state;
    cleanup_text char *path = mem_printf("%s.crumb", fixture->path);
    FILE *file = fopen(path, "w");
    fputs("rubbish that is no breadcrumb file of ours", file);
    fclose(file);
    assert_crumb(fixture, CRUMB_INTAKE, 0, 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup_closed, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_store_keeps_all_that_a_killed_process_committed),
        TEST(test_store_read_only_works_after_a_kill),
        TEST(test_store_recover_finds_the_attempts_of_a_killed_process),
        TEST(test_store_says_that_its_log_is_wrong_in_the_middle),
        TEST(test_store_log_of_a_killed_process_is_read_whole),
        TEST(test_store_log_with_a_torn_end_is_nothing_to_tell),
        TEST(test_store_crumb_is_empty_at_first),
        TEST(test_store_crumb_counts_deaths_in_a_row),
        TEST(test_store_crumb_of_another_value_counts_anew),
        TEST(test_store_crumb_survives_runs_that_do_not_meet_it),
        TEST(test_store_crumb_is_forgotten_once_worked_off),
        TEST(test_store_crumb_of_a_clean_end_is_none),
        TEST(test_store_crumb_of_another_boot_is_none),
        TEST(test_store_crumb_file_of_rubbish_is_begun_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
