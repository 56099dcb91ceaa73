/* SPDX-License-Identifier: Apache-2.0 */
/* Case files as lines: comments and blanks gone, JSON that goes on over several lines put together. */
#include "cases_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FILE_BYTES ((size_t)4 << 20)

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

struct span case_trim(struct span text)
{
    while (text.len && is_space(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len && (is_space(text.data[text.len - 1]) || text.data[text.len - 1] == '\n'))
        text.len--;
    return text;
}

struct span case_word(struct span *rest)
{
    *rest = case_trim(*rest);
    size_t len = 0;
    while (len < rest->len && !is_space(rest->data[len]) && rest->data[len] != '\n')
        len++;
    struct span word = {rest->data, len};
    rest->data += len;
    rest->len -= len;
    *rest = case_trim(*rest);
    return word;
}

bool case_take(struct span *rest, const char *word)
{
    struct span copy = *rest;
    if (!span_is(case_word(&copy), word))
        return false;
    *rest = copy;
    return true;
}

static int read_file(const char *path, struct buf *text)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    char part[8192];
    for (size_t got; (got = fread(part, 1, sizeof part, file)) > 0 && text->len <= MOST_FILE_BYTES;)
        buf_append(text, part, got);
    bool failed = ferror(file) || text->len > MOST_FILE_BYTES;
    fclose(file);
    return failed ? -1 : 0;
}

/* Whether the line starts with the words, parted by blanks, and what is behind them. */
static bool starts_with(struct span line, const char *words, struct span *rest)
{
    while (*words) {
        const size_t len = strcspn(words, " ");
        struct span word = case_word(&line);
        if (word.len != len || memcmp(word.data, words, len) != 0)
            return false;
        words += len + (words[len] == ' ');
    }
    *rest = line;
    return true;
}

static const struct case_word *find_word(const struct case_word *table, struct span line, struct span *rest)
{
    while (table->words && !starts_with(line, table->words, rest))
        table++;
    return table->words ? table : NULL;
}

/* Brackets that are open at the end of the text, not counting those in strings. */
static int open_brackets(struct span text)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']'))
            depth--;
    }
    return depth;
}

struct case_reader {
    const char *file;
    struct span left;
    int number;
    struct buf *report;
    const struct case_word *last; /* of the line before */
};

/* What an answer that is no JSON is easily got wrong by. */
#define ANSWER_HINT " (an answer of several lines, or with brackets: respond STATUS text \"<a>\\n...\")"

static struct span next_line(struct case_reader *reader)
{
    const char *end = memchr(reader->left.data, '\n', reader->left.len);
    size_t len = end ? (size_t)(end - reader->left.data) + 1 : reader->left.len;
    struct span line = {reader->left.data, len};
    reader->left.data += len;
    reader->left.len -= len;
    reader->number++;
    return line;
}

/* The next line that says something. 1, 0 at the end, -1 when it is none. */
static int read_line(struct case_reader *reader, struct case_line *line)
{
    struct span raw, text;
    do {
        if (reader->left.len == 0)
            return 0;
        raw = next_line(reader);
        text = case_trim(raw);
    } while (text.len == 0 || text.data[0] == '#');
    line->number = reader->number;
    if (text.len >= 4 && memcmp(text.data, "case", 4) == 0 && (text.len == 4 || is_space(text.data[4]))) {
        line->word = NULL;
        line->rest = case_trim((struct span){text.data + 4, text.len - 4});
        return 1;
    }
    line->word = find_word(case_set_words, text, &line->rest);
    if (!line->word)
        line->word = find_word(case_expect_words, text, &line->rest);
    if (!line->word) {
        buf_printf(reader->report, "%s:%d: no such line: %.*s%s\n", reader->file, line->number, (int)text.len,
                   text.data, reader->last && span_is(span_of(reader->last->words), "respond") ? ANSWER_HINT : "");
        return -1;
    }
    while (line->word->json && open_brackets(text) > 0) {
        if (reader->left.len == 0) {
            buf_printf(reader->report, "%s:%d: the brackets that open here are never closed%s\n", reader->file,
                       line->number, span_is(span_of(line->word->words), "respond") ? ANSWER_HINT : "");
            return -1;
        }
        struct span more = next_line(reader);
        text = case_trim((struct span){text.data, (size_t)(more.data + more.len - text.data)});
    }
    line->rest.len = (size_t)(text.data + text.len - line->rest.data);
    reader->last = line->word;
    return 1;
}

struct case_line *case_read_file(const char *file, struct buf *text, struct buf *report, size_t *count)
{
    *count = 0;
    if (read_file(file, text) != 0) {
        buf_printf(report, "%s: it cannot be read\n", file);
        return NULL;
    }
    struct case_reader reader = {.file = file, .left = buf_span(text), .report = report};
    if (text->len >= 3 && memcmp(text->data, "\xef\xbb\xbf", 3) == 0) /* some editors begin with it */
        reader.left = (struct span){text->data + 3, text->len - 3};
    struct case_line *lines = NULL, line;
    size_t cap = 0;
    int more;
    while ((more = read_line(&reader, &line)) > 0) {
        lines = mem_grow(lines, &cap, *count + 1, sizeof *lines);
        lines[(*count)++] = line;
    }
    if (more == 0 && *count > 0)
        return lines;
    if (more == 0)
        buf_printf(report, "%s: it holds no case\n", file);
    free(lines);
    return NULL;
}
