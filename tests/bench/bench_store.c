/* SPDX-License-Identifier: Apache-2.0 */
/* bench_store DIRECTORY [ROWS]: what the store costs, in wall and CPU time, for both durabilities.
 * Prints one line a figure: accepting in groups, attempts with verdicts in groups, removal. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "store.h"

#define GROUP 256
#define WALL_MS INT64_C(1700000000000)

static const char body[] =
    "{\"equipment\":{\"type\":\"external\",\"value\":\"press-07\"},\"description\":\"Bearing at 86.4 C on "
    "press-07 (line 3)\",\"startDateTime\":\"2024-05-01T10:00:00Z\",\"endDateTime\":"
    "\"2024-05-01T12:00:00Z\",\"allDay\":false,\"assignees\":[\"maintenance@example.com\"]}";
static const char payload[] = "{\"celsius\":86.4,\"ts\":1714557600123,\"quality\":\"good\",\"sensor\":\"b-2\"}";
static const char request[] = "POST https://api.example.com/v1/tasks HTTP/1.1\nAuthorization: ***\nContent-Type: "
                              "application/json\n\n{\"description\":\"Bearing at 86.4 C on press-07 (line 3)\"}";
static const char response[] = "HTTP/1.1 201 Created\nX-Request-Id: 9d1b\n\n{\"id\":\"32828f62\",\"name\":\"task\"}";

static int64_t cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static void need(struct store_session *session, bool good)
{
    if (good)
        return;
    fprintf(stderr, "bench_store: %s\n", store_error(session));
    exit(1);
}

static void add(struct store_session *session, int64_t i)
{
    char id[UUID_TEXT_MAX], lane[32];
    uuid_v7(WALL_MS + i, id);
    snprintf(lane, sizeof lane, "line-3/press-%02" PRId64, i % 97);
    struct delivery delivery = {.id = id,
                                .kind = DELIVERY_OUT,
                                .state = DELIVERY_PENDING,
                                .route = "bearing-hot",
                                .target = "mw",
                                .operation = "task.schedule",
                                .lane = lane,
                                .accepted_ms = WALL_MS + i,
                                .due_ms = WALL_MS + i,
                                .body = SPAN(body),
                                .payload = SPAN(payload),
                                .topic = "plant/line-3/press-07/temperature",
                                .packet_id = (int)(i % 65535) + 1,
                                .packet_hash = i * 7919 + 1};
    need(session, store_add_delivery(session, &delivery) == 0);
}

static void start(struct store_session *session, int64_t i)
{
    need(session, store_start_attempt(session, i + 1, NULL, WALL_MS) == 0);
}

static void settle(struct store_session *session, int64_t i)
{
    struct settlement settlement = {.state = DELIVERY_DELIVERED,
                                    .error.http_status = 201,
                                    .error.request_id = "9d1b",
                                    .request = request,
                                    .response = response,
                                    .who = "busbar",
                                    .what = "attempt",
                                    .now_ms = WALL_MS + i};
    need(session, store_settle(session, i + 1, &settlement) == 0);
}

static void attempt(struct store_session *session, int64_t i)
{
    start(session, i);
    settle(session, i);
}

static void measure(struct store_session *session, const char *name, int64_t rows, int64_t group,
                    void (*work)(struct store_session *session, int64_t i))
{
    int64_t wall = clock_monotonic_us(), cpu = cpu_us();
    for (int64_t i = 0; i < rows;) {
        need(session, store_begin(session) == 0);
        for (int64_t end = i + group; i < end && i < rows; i++)
            work(session, i);
        need(session, store_commit(session) == 0 && store_checkpoint(session) == 0);
    }
    wall = clock_monotonic_us() - wall;
    cpu = cpu_us() - cpu;
    printf("  %-34s %9.0f/s %7.2f us CPU each\n", name, (double)rows * 1e6 / (double)wall, (double)cpu / (double)rows);
}

static void bench(const char *directory, bool power_loss, int64_t rows)
{
    cleanup_text char *path = mem_printf("%s/bench-%ld.db", directory, (long)getpid());
    char *error = NULL;
    struct store *store = store_open(&(struct store_options){.path = path, .power_loss = power_loss}, &error);
    struct store_session *session = store ? store_session_open(store, &error) : NULL;
    if (!session) {
        fprintf(stderr, "bench_store: %s\n", error);
        exit(1);
    }
    printf("durability %s, %" PRId64 " deliveries, groups of %d\n", power_loss ? "power_loss" : "crash", rows, GROUP);
    measure(session, "add_delivery", rows, GROUP, add);
    measure(session, "start_attempt + settle", rows, GROUP, attempt);
    int64_t wall = clock_monotonic_us(), removed, all = 0;
    while ((removed = store_retain(session, WALL_MS + 10 * rows, 0, 500)) > 0 && all + removed <= rows)
        all += removed;
    wall = clock_monotonic_us() - wall;
    printf("  %-34s %9.0f/s\n", "retain, steps of 500", (double)all * 1e6 / (double)wall);
    printf("  %-34s %9.0f\n", "file and WAL, bytes a delivery", (double)store_bytes(store) / (double)rows);
    store_session_close(session);
    store_close(store);
    static const char *const ends[] = {"", ".lock", ".crumb", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        cleanup_text char *file = mem_printf("%s%s", path, ends[i]);
        unlink(file);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: bench_store DIRECTORY [ROWS]\n", stderr);
        return 2;
    }
    int64_t rows = argc > 2 ? atoll(argv[2]) : 200000;
    bench(argv[1], true, rows);
    bench(argv[1], false, rows);
    return 0;
}
