/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd_try_timeline.h"

#include "clock.h"

#include <stdlib.h>
#include <string.h>

#define LEFT 190 /* where time begins */
#define WIDTH 1000
#define ROW 34
#define TOP 56
#define COLUMNS 500 /* what is drawn of a row: 2 pixels each */
#define TICKS 5

struct mark {
    int64_t at_ms;
    uint32_t route;
    enum outcome outcome;
};

struct timeline {
    struct mark *marks;
    size_t count, cap;
};

/* How each outcome is drawn, from the bottom of its row up. Ignored readings are not. */
static const struct kind {
    enum outcome outcome;
    const char *word, *colour;
    int y, height;
} kinds[] = {
    {OUTCOME_SUPPRESSED, "suppressed", "#e6a817", 14, 10},
    {OUTCOME_WAITING, "waiting", "#8fb3d9", 19, 5},
    {OUTCOME_INVALID, "dead letter", "#c62828", 0, 24},
    {OUTCOME_ACCEPTED, "created", "#2e7d32", 0, 24},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct timeline *timeline_create(void)
{
    return mem_alloc(sizeof(struct timeline));
}

void timeline_destroy(struct timeline *timeline)
{
    if (timeline == NULL)
        return;
    free(timeline->marks);
    free(timeline);
}

void timeline_add(struct timeline *timeline, size_t route, enum outcome outcome, int64_t at_ms)
{
    timeline->marks = mem_grow(timeline->marks, &timeline->cap, timeline->count + 1, sizeof(*timeline->marks));
    timeline->marks[timeline->count++] = (struct mark){at_ms, (uint32_t)route, outcome};
}

static void find_range(const struct timeline *timeline, int64_t *first, int64_t *last)
{
    *first = timeline->count > 0 ? timeline->marks[0].at_ms : 0;
    *last = *first;
    for (size_t i = 0; i < timeline->count; i++) {
        *first = timeline->marks[i].at_ms < *first ? timeline->marks[i].at_ms : *first;
        *last = timeline->marks[i].at_ms > *last ? timeline->marks[i].at_ms : *last;
    }
    if (*last - *first < 1000)
        *last = *first + 1000;
}

static void put_text(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        const char *escaped = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : NULL;
        if (escaped != NULL)
            buf_puts(out, escaped);
        else
            buf_putc(out, *text);
    }
}

static void print_axis(struct buf *out, int64_t first, int64_t last, int height)
{
    char time[CLOCK_TEXT_MAX];
    for (int i = 0; i <= TICKS; i++) {
        int x = LEFT + WIDTH * i / TICKS;
        clock_format(first + (last - first) * i / TICKS, time);
        buf_printf(out, "<line x1='%d' y1='%d' x2='%d' y2='%d' stroke='#ddd'/>", x, TOP - 8, x, height - 10);
        buf_printf(out, "<text x='%d' y='%d' text-anchor='middle' fill='#666'>%.10s</text>", x, TOP - 26, time);
        buf_printf(out, "<text x='%d' y='%d' text-anchor='middle' fill='#666'>%.8s</text>\n", x, TOP - 13, time + 11);
    }
}

static void print_legend(struct buf *out)
{
    int x = LEFT;
    for (size_t i = 0; i < KINDS; i++, x += 110) {
        buf_printf(out, "<rect x='%d' y='6' width='10' height='10' fill='%s'/>", x, kinds[i].colour);
        buf_printf(out, "<text x='%d' y='15'>%s</text>\n", x + 14, kinds[i].word);
    }
}

static void print_row(const struct timeline *timeline, uint32_t route, const char *name, const int64_t range[2], int y,
                      struct buf *out)
{
    uint32_t columns[KINDS][COLUMNS] = {{0}}, totals[KINDS] = {0};
    for (size_t i = 0; i < timeline->count; i++) {
        const struct mark *mark = &timeline->marks[i];
        for (size_t k = 0; k < KINDS && mark->route == route; k++) {
            if (kinds[k].outcome != mark->outcome)
                continue;
            columns[k][(mark->at_ms - range[0]) * (COLUMNS - 1) / (range[1] - range[0])]++;
            totals[k]++;
        }
    }
    buf_printf(out, "<text x='%d' y='%d' text-anchor='end'>", LEFT - 10, y + 16);
    put_text(out, name);
    buf_printf(out, "</text><line x1='%d' y1='%d' x2='%d' y2='%d' stroke='#bbb'/>\n", LEFT, y + 25, LEFT + WIDTH,
               y + 25);
    for (size_t k = 0; k < KINDS; k++)
        for (int column = 0; column < COLUMNS; column++)
            if (columns[k][column] > 0)
                buf_printf(out, "<rect x='%d' y='%d' width='2' height='%d' fill='%s'><title>%u %s</title></rect>\n",
                           LEFT + column * (WIDTH / COLUMNS), y + kinds[k].y, kinds[k].height, kinds[k].colour,
                           columns[k][column], kinds[k].word);
    buf_printf(out, "<text x='%d' y='%d'>%u created, %u suppressed</text>\n", LEFT + WIDTH + 12, y + 16,
               totals[KINDS - 1], totals[0]);
}

void timeline_print(const struct timeline *timeline, const char *const *names, size_t count, struct buf *out)
{
    int64_t range[2];
    int height = TOP + (int)count * ROW + 12;
    find_range(timeline, &range[0], &range[1]);
    buf_printf(
        out,
        "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' font-family='sans-serif' font-size='11'>\n"
        "<rect width='100%%' height='100%%' fill='white'/>\n",
        LEFT + WIDTH + 200, height);
    print_legend(out);
    print_axis(out, range[0], range[1], height);
    for (size_t i = 0; i < count; i++)
        print_row(timeline, (uint32_t)i, names[i], range, TOP + (int)i * ROW, out);
    buf_puts(out, "</svg>\n");
}
