/* SPDX-License-Identifier: Apache-2.0 */
/* The file: opening, locking, transactions, limits. */
#include "store_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void run_sql(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void assert_refused(const struct store_options *options, const char *reason)
{
    char *error = NULL;
    assert_null(store_open(options, &error));
    assert_non_null(error);
    if (!strstr(error, reason))
        fail_msg("%s", error);
    free(error);
}

static void test_store_open_creates_a_private_file(void **state)
{
    struct fixture *fixture = *state;
    struct stat file;
    assert_int_equal(stat(fixture->path, &file), 0);
    assert_int_equal(file.st_mode & 077, 0);
    assert_true(store_bytes(fixture->store) > 0);
}

static const char *const suffixes[] = {"", "-wal", "-shm", ".lock", ".crumb"};

static void test_store_open_makes_all_its_files_private(void **state)
{
    struct fixture *fixture = *state;
    umask(0);
    fixture_open(fixture);
    put_delivery(fixture->session, "a", "mw");
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        struct stat file;
        cleanup_text char *path = mem_printf("%s%s", fixture->path, suffixes[i]);
        assert_int_equal(stat(path, &file), 0);
        assert_int_equal(file.st_mode & 0777, 0600);
    }
}

static void test_store_open_refuses_what_everybody_may_read(void **state)
{
    struct fixture *fixture = *state;
    fixture_close(fixture);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        cleanup_text char *path = mem_printf("%s%s", fixture->path, suffixes[i]);
        int fd = open(path, O_RDWR | O_CREAT, 0600);
        assert_true(fd >= 0);
        assert_int_equal(fchmod(fd, 0604), 0);
        close(fd);
        assert_refused(&fixture->options, "is open to everybody (mode 604): chmod");
        assert_int_equal(chmod(path, 0660), 0); /* Kubernetes' fsGroup */
    }
    fixture_open(fixture);
}

static void test_store_open_refuses_a_link(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        cleanup_text char *path = mem_printf("%s%s", fixture->path, suffixes[i]);
        cleanup_text char *elsewhere = mem_printf("%s/elsewhere", fixture->directory);
        assert_int_equal(symlink(elsewhere, path), 0);
        assert_refused(&fixture->options, "does not follow it");
        assert_int_equal(access(elsewhere, F_OK), -1);
        unlink(path);
    }
}

static void test_store_open_refuses_what_is_another_users(void **state)
{
    struct fixture *fixture = *state;
    if (geteuid() != 0)
        skip();
    fixture_close(fixture);
    assert_int_equal(chown(fixture->path, 12345, (gid_t)-1), 0);
    assert_refused(&fixture->options, "belongs to user 12345");
    assert_int_equal(chown(fixture->path, 0, (gid_t)-1), 0);
    assert_int_equal(chown(fixture->directory, 12345, (gid_t)-1), 0);
    assert_refused(&fixture->options, "who owns it can replace the store");
}

static void test_store_open_refuses_a_folder_that_everybody_writes(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(chmod(fixture->directory, 0777), 0);
    assert_refused(&fixture->options, "everybody may write in the directory");
    assert_int_equal(chmod(fixture->directory, 01777), 0); /* as /tmp: nobody replaces another's files */
    fixture_open(fixture);
}

static void test_store_open_refuses_a_second_name(void **state)
{
    struct fixture *fixture = *state;
    cleanup_text char *other = mem_printf("%s/other.db", fixture->directory);
    cleanup_text char *lock = mem_printf("%s.lock", fixture->path);
    assert_int_equal(link(fixture->path, other), 0);
    pid_t child = fork(); /* closing the file in this process would drop SQLite's locks */
    if (child == 0) {
        char *error = NULL;
        const struct store_options options = {.path = other};
        _exit(!store_open(&options, &error) && strstr(error, "in use by another busbar") ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    unlink(lock);
    child = fork();
    if (child == 0) {
        char *error = NULL;
        _exit(!store_open(&fixture->options, &error) && strstr(error, "without its .lock file") ? 0 : 1);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

static void test_store_open_keeps_what_was_there(void **state)
{
    struct fixture *fixture = *state;
    put_delivery(fixture->session, "a", "mw");
    fixture_reopen(fixture);
    assert_true(has_delivery(fixture->session, "a"));
}

static void test_store_begin_read_sees_one_state(void **state)
{
    struct fixture *fixture = *state;
    char *error = NULL;
    struct store_session *reader = store_session_open(fixture->store, &error);
    assert_non_null(reader);
    assert_int_equal(store_begin_read(reader), 0);
    assert_false(has_delivery(reader, "a"));
    put_delivery(fixture->session, "a", "mw");
    assert_false(has_delivery(reader, "a"));
    assert_int_equal(store_start_attempt(reader, 1, NULL, NOW), -1);
    store_end_read(reader);
    assert_true(has_delivery(reader, "a"));
    put_delivery(reader, "b", "mw");
    store_end_read(reader);
    assert_true(has_delivery(fixture->session, "b"));
    store_session_close(reader);
}

static void test_store_open_refuses_a_second_daemon(void **state)
{
    struct fixture *fixture = *state;
    char pid[16];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_refused(&fixture->options, "in use by another busbar");
    assert_refused(&fixture->options, pid);
}

static void test_store_open_refuses_a_newer_schema(void **state)
{
    struct fixture *fixture = *state;
    fixture_close(fixture);
    run_sql(fixture->path, "PRAGMA user_version = 999");
    assert_refused(&fixture->options, "newer busbar");
}

static void test_store_open_refuses_a_foreign_database(void **state)
{
    struct fixture *fixture = *state;
    run_sql(fixture->path, "CREATE TABLE t (a)");
    assert_refused(&fixture->options, "not a busbar store");
}

static void test_store_open_refuses_a_file_of_another_kind(void **state)
{
    struct fixture *fixture = *state;
    FILE *file = fopen(fixture->path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", file);
    fclose(file);
    assert_refused(&fixture->options, "not a database");
}

static void test_store_open_says_that_the_directory_is_missing(void **state)
{
    (void)state;
    assert_refused(&(struct store_options){.path = "/nonexistent/busbar.db"}, "No such file");
}

static void test_store_read_only_needs_a_store(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.read_only = true;
    assert_refused(&fixture->options, "No such file");
}

static void test_store_read_only_works_beside_a_daemon(void **state)
{
    struct fixture *fixture = *state;
    put_delivery(fixture->session, "a", "mw");
    struct fixture reader = *fixture;
    reader.options.read_only = true;
    fixture_open(&reader);
    assert_true(has_delivery(reader.session, "a"));
    put_delivery(fixture->session, "b", "mw");
    assert_true(has_delivery(reader.session, "b"));
    fixture_close(&reader);
}

static void test_store_read_only_refuses_writes(void **state)
{
    struct fixture *fixture = *state;
    fixture_close(fixture);
    fixture->options.read_only = true;
    fixture_open(fixture);
    assert_int_equal(store_begin(fixture->session), -1);
    assert_non_null(strstr(store_error(fixture->session), "reading only"));
}

static void test_store_rollback_forgets(void **state)
{
    struct fixture *fixture = *state;
    struct delivery delivery = make_delivery("a", "mw");
    assert_int_equal(store_begin(fixture->session), 0);
    assert_int_equal(store_add_delivery(fixture->session, &delivery), 0);
    store_rollback(fixture->session);
    assert_false(has_delivery(fixture->session, "a"));
    store_rollback(fixture->session); /* legal without begin */
}

static void test_store_knows_that_this_thread_is_in_a_transaction(void **state)
{
    struct fixture *fixture = *state;
    assert_false(store_in_transaction());
    assert_int_equal(store_begin(fixture->session), 0);
    assert_true(store_in_transaction());
    assert_int_equal(store_commit(fixture->session), 0);
    assert_false(store_in_transaction());
}

static void test_store_write_outside_of_a_transaction_fails(void **state)
{
    struct fixture *fixture = *state;
    struct delivery delivery = make_delivery("a", "mw");
    assert_int_equal(store_add_delivery(fixture->session, &delivery), -1);
    assert_non_null(strstr(store_error(fixture->session), "store_begin"));
}

static void test_store_failed_write_leaves_only_rollback(void **state)
{
    struct fixture *fixture = *state;
    put_delivery(fixture->session, "a", "mw");
    struct delivery good = make_delivery("b", "mw"), twice = make_delivery("a", "mw"), late = make_delivery("d", "mw");
    assert_int_equal(store_begin(fixture->session), 0);
    assert_int_equal(store_add_delivery(fixture->session, &good), 0);
    assert_int_equal(store_add_delivery(fixture->session, &twice), -1);
    assert_int_equal(store_add_delivery(fixture->session, &late), -1);
    assert_int_equal(store_commit(fixture->session), -1);
    assert_non_null(strstr(store_error(fixture->session), "UNIQUE"));
    assert_false(store_in_transaction());
    assert_false(has_delivery(fixture->session, "b"));
    put_delivery(fixture->session, "c", "mw");
}

static void test_store_begin_twice_fails(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(store_begin(fixture->session), 0);
    assert_int_equal(store_begin(fixture->session), -1);
    assert_int_equal(store_commit(fixture->session), -1);
    assert_int_equal(store_begin(fixture->session), 0);
    assert_int_equal(store_commit(fixture->session), 0);
}

/* ---- limits ----------------------------------------------------------------*/

static const char kilobytes[8192] = {'x'};

static int add_big(struct store_session *session, int i, enum delivery_kind kind)
{
    char id[32];
    snprintf(id, sizeof id, "big-%d-%d", (int)kind, i);
    struct delivery delivery = make_delivery(id, "mw");
    delivery.kind = kind;
    delivery.body = (struct span){kilobytes, sizeof kilobytes};
    if (store_begin(session) != 0)
        return -1;
    if (store_add_delivery(session, &delivery) == 0)
        return store_commit(session);
    store_rollback(session);
    return -1;
}

static int fill(struct store_session *session)
{
    int count = 0;
    while (count < 1000 && add_big(session, count, DELIVERY_OUT) == 0)
        count++;
    return count;
}

static void test_store_full_refuses_what_is_new(void **state)
{
    struct fixture *fixture = *state;
    assert_true(store_has_room(fixture->store));
    int count = fill(fixture->session);
    assert_in_range(count, 50, 125); /* of 1 MB in pieces of 8 KiB */
    assert_non_null(strstr(store_error(fixture->session), "the store is full"));
    assert_false(store_has_room(fixture->store));
    assert_int_equal(add_big(fixture->session, 0, DELIVERY_IN), -1);
}

static void test_store_full_still_takes_verdicts_and_events(void **state)
{
    struct fixture *fixture = *state;
    int count = fill(fixture->session);
    for (int i = 0; i < count; i++)
        settle_as(fixture->session, i + 1, DELIVERY_DELIVERED, NOW);
    assert_int_equal(add_big(fixture->session, 0, DELIVERY_BUS), 0);
}

static void test_store_full_has_an_end_for_events_too(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture->session);
    int count = 0;
    while (count < 1000 && add_big(fixture->session, count, DELIVERY_BUS) == 0)
        count++;
    assert_in_range(count, 1, 100);
    assert_non_null(strstr(store_error(fixture->session), "no room"));
    assert_false(store_in_transaction());
}

static void test_store_full_counts_free_pages_as_room(void **state)
{
    struct fixture *fixture = *state;
    int count = fill(fixture->session);
    for (int i = 0; i < count; i++)
        settle_as(fixture->session, i + 1, DELIVERY_DELIVERED, NOW);
    assert_int_equal(store_retain(fixture->session, NOW + 2 * DAY, DAY, 1000), count);
    assert_true(store_has_room(fixture->store));
    int again = fill(fixture->session);
    assert_in_range(again, count - 5, count + 5);
}

static int setup_small(void **state)
{
    if (fixture_setup_closed(state) != 0)
        return -1;
    struct fixture *fixture = *state;
    fixture->options.max_bytes = 1000000;
    fixture_open(fixture);
    return 0;
}

/* The disk takes no more: what a full disk does, without filling one. */
static void test_store_commit_that_cannot_write_rolls_back(void **state)
{
    struct fixture *fixture = *state;
    put_delivery(fixture->session, "before", "mw");
    cleanup_text char *wal = mem_printf("%s-wal", fixture->path);
    struct stat file;
    assert_int_equal(stat(wal, &file), 0);
    struct rlimit old, tight;
    getrlimit(RLIMIT_FSIZE, &old);
    tight = old;
    tight.rlim_cur = (rlim_t)file.st_size + 1000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &tight);
    int answer = add_big(fixture->session, 1, DELIVERY_OUT);
    bool inside = store_in_transaction();
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);

    assert_int_equal(answer, -1);
    assert_false(inside);
    assert_true(strlen(store_error(fixture->session)) > 0);
    assert_int_equal(add_big(fixture->session, 2, DELIVERY_OUT), 0);
    fixture_reopen(fixture);
    assert_true(has_delivery(fixture->session, "before"));
    assert_false(has_delivery(fixture->session, "big-1-1"));
    assert_true(has_delivery(fixture->session, "big-1-2"));
}

static void test_store_removed_under_us_takes_nothing_more(void **state)
{
    struct fixture *fixture = *state;
    char aside[160];
    snprintf(aside, sizeof aside, "%s-aside", fixture->path);
    assert_int_equal(rename(fixture->path, aside), 0);
    assert_int_equal(store_begin(fixture->session), -1);
    assert_non_null(strstr(store_error(fixture->session), "removed or replaced"));
    run_sql(fixture->path, "CREATE TABLE t (a)"); /* another in its place */
    assert_int_equal(store_begin(fixture->session), -1);
    assert_int_equal(rename(aside, fixture->path), 0);
    assert_int_equal(store_begin(fixture->session), 0);
    store_rollback(fixture->session);
}

static void look(void *context, const struct delivery *delivery)
{
    (void)delivery;
    *(bool *)context = true;
}

static bool has_delivery_quietly(struct store_session *session, const char *id)
{
    bool found = false;
    return store_find_delivery(session, id, look, &found) == 0 && found;
}

static void test_store_without_its_wal_takes_nothing_more(void **state)
{
    struct fixture *fixture = *state;
    struct store_trouble trouble;
    put_delivery(fixture->session, "a", "mw");
    cleanup_text char *wal = mem_printf("%s-wal", fixture->path);
    unlink(wal); /* SQLite would go on writing into it */
    assert_int_equal(store_begin(fixture->session), -1);
    assert_true(store_trouble(fixture->store, &trouble));
    assert_string_equal(trouble.name, "removed");
}

/* A page that SQLite finds wrong: from then on nothing is written, and it is said what to do. */
static void test_store_damaged_takes_nothing_more(void **state)
{
    struct fixture *fixture = *state;
    struct store_trouble trouble;
    for (int i = 0; i < 200; i++) {
        cleanup_text char *id = mem_printf("d-%d", i);
        put_delivery(fixture->session, id, "mw");
    }
    fixture_close(fixture);
    struct stat file;
    assert_int_equal(stat(fixture->path, &file), 0);
    int fd = open(fixture->path, O_RDWR);
    for (off_t page = 1; page < file.st_size / 4096; page++)
        if (page != 1) /* the schema's root stays: it opens */
            assert_int_equal(pwrite(fd, "\xff\xff\xff\xff", 4, page * 4096), 4);
    close(fd);
    char *error = NULL;
    fixture->store = store_open(&fixture->options, &error);
    if (fixture->store == NULL) {
        assert_non_null(strstr(error, "busbar store check"));
        free(error);
        return;
    }
    fixture->session = store_session_open(fixture->store, &error);
    assert_false(has_delivery_quietly(fixture->session, "d-100"));
    assert_true(store_trouble(fixture->store, &trouble));
    assert_string_equal(trouble.name, "damaged");
    assert_non_null(strstr(trouble.text, "busbar store check"));
    assert_int_equal(store_begin(fixture->session), -1);
    assert_int_equal(store_probe(fixture->session), -1);
    assert_non_null(strstr(store_error(fixture->session), "damaged"));
}

int main(void)
{
#define TEST(setup, test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(fixture_setup, test_store_open_creates_a_private_file),
        TEST(fixture_setup_closed, test_store_open_makes_all_its_files_private),
        TEST(fixture_setup, test_store_open_refuses_what_everybody_may_read),
        TEST(fixture_setup_closed, test_store_open_refuses_a_link),
        TEST(fixture_setup, test_store_open_refuses_what_is_another_users),
        TEST(fixture_setup_closed, test_store_open_refuses_a_folder_that_everybody_writes),
        TEST(fixture_setup, test_store_open_refuses_a_second_name),
        TEST(fixture_setup, test_store_without_its_wal_takes_nothing_more),
        TEST(fixture_setup, test_store_damaged_takes_nothing_more),
        TEST(fixture_setup, test_store_open_keeps_what_was_there),
        TEST(fixture_setup, test_store_begin_read_sees_one_state),
        TEST(fixture_setup, test_store_open_refuses_a_second_daemon),
        TEST(fixture_setup, test_store_open_refuses_a_newer_schema),
        TEST(fixture_setup_closed, test_store_open_refuses_a_foreign_database),
        TEST(fixture_setup_closed, test_store_open_refuses_a_file_of_another_kind),
        cmocka_unit_test(test_store_open_says_that_the_directory_is_missing),
        TEST(fixture_setup_closed, test_store_read_only_needs_a_store),
        TEST(fixture_setup, test_store_read_only_works_beside_a_daemon),
        TEST(fixture_setup, test_store_read_only_refuses_writes),
        TEST(fixture_setup, test_store_rollback_forgets),
        TEST(fixture_setup, test_store_knows_that_this_thread_is_in_a_transaction),
        TEST(fixture_setup, test_store_write_outside_of_a_transaction_fails),
        TEST(fixture_setup, test_store_failed_write_leaves_only_rollback),
        TEST(fixture_setup, test_store_begin_twice_fails),
        TEST(fixture_setup, test_store_removed_under_us_takes_nothing_more),
        TEST(setup_small, test_store_full_refuses_what_is_new),
        TEST(setup_small, test_store_full_still_takes_verdicts_and_events),
        TEST(setup_small, test_store_full_has_an_end_for_events_too),
        TEST(setup_small, test_store_full_counts_free_pages_as_room),
        TEST(fixture_setup, test_store_commit_that_cannot_write_rolls_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
