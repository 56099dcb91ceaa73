/* SPDX-License-Identifier: Apache-2.0 */

/* The trie's nodes lie in one array and refer to each other by number. The literal children of all
 * nodes share one hash table keyed by (parent, level): a node costs the same whether it has one child
 * or 100,000, and a match looks up one slot per level and live branch. */

#include "topic.h"

#include "digest.h"

#include <stdlib.h>
#include <string.h>

#define TOPIC_BYTES_MAX 65535

/* Words that a template knows by themselves: a capture of that name could not be reached. */
static const char *const reserved[] = {"value", "key", "topic", "id", "now", "received", "user"};

/* The level of text that starts at *at; *at moves behind its slash. False when there is none left. */
static bool next_level(struct span text, size_t *at, struct span *level)
{
    if (*at > text.len)
        return false;
    const char *start = text.data + *at;
    size_t left = text.len - *at;
    const char *slash = left > 0 ? memchr(start, '/', left) : NULL;
    *level = (struct span){start, slash ? (size_t)(slash - start) : left};
    *at += level->len + 1;
    return true;
}

static bool is_one(struct span level, char c)
{
    return level.len == 1 && level.data[0] == c;
}

static bool same(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static bool is_mqtt_text(struct span text)
{
    return text.len > 0 && text.len <= TOPIC_BYTES_MAX && !memchr(text.data, '\0', text.len) && span_is_utf8(text);
}

bool topic_is_valid(struct span topic)
{
    return is_mqtt_text(topic) && !memchr(topic.data, '+', topic.len) && !memchr(topic.data, '#', topic.len);
}

/* ---- filters ---------------------------------------------------------------*/

static bool is_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && ((c >= '0' && c <= '9') || c == '-')))
            return false;
    }
    return name.len > 0;
}

/* A level with a brace in it: {name} or {name...}. Appends its wildcard to mqtt. Answers what is wrong (gives) or NULL.
 */
static char *parse_capture(struct topic_filter *filter, struct span level, int number, bool last, struct buf *mqtt)
{
    int len = (int)level.len;
    if (level.data[0] != '{' || level.data[level.len - 1] != '}')
        return mem_printf("\"%.*s\": a {capture} must fill a whole level of the topic", len, level.data);
    struct span name = {level.data + 1, level.len - 2};
    bool rest = name.len >= 3 && memcmp(name.data + name.len - 3, "...", 3) == 0;
    if (rest)
        name.len -= 3;
    if (!is_name(name))
        return mem_printf("\"%.*s\": the name of a capture is letters, digits, _ and -, and starts with a letter", len,
                          level.data);
    if (rest && !last)
        return mem_printf("\"%.*s\" takes all that is left, so it must be the last level", len, level.data);
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (span_is(name, reserved[i]))
            return mem_printf("\"%s\" has a meaning of its own in templates: name the capture otherwise", reserved[i]);
    for (size_t i = 0; i < filter->capture_count; i++)
        if (span_is(name, filter->captures[i].name))
            return mem_printf("the name \"%s\" is taken twice", filter->captures[i].name);
    if (filter->capture_count == TOPIC_CAPTURES_MAX)
        return mem_printf("more than %d captures", TOPIC_CAPTURES_MAX);
    filter->captures[filter->capture_count++] =
        (struct topic_level){.name = span_dup(name), .level = number, .rest = rest};
    buf_putc(mqtt, rest ? '#' : '+');
    return NULL;
}

static char *parse_level(struct topic_filter *filter, struct span level, int number, bool last, struct buf *mqtt)
{
    int len = (int)level.len;
    if (memchr(level.data, '{', level.len) || memchr(level.data, '}', level.len))
        return parse_capture(filter, level, number, last, mqtt);
    if (is_one(level, '#') && !last)
        return mem_printf("# takes all that is left, so it must be the last level");
    bool wildcard = memchr(level.data, '+', level.len) || memchr(level.data, '#', level.len);
    if (wildcard && level.len > 1)
        return mem_printf("\"%.*s\": + and # must fill a whole level of the topic", len, level.data);
    buf_append(mqtt, level.data, level.len);
    return NULL;
}

int topic_filter_parse(struct span text, struct topic_filter *filter, char **error)
{
    *filter = (struct topic_filter){0};
    *error = NULL;
    struct span share = SPAN("$share/");
    if (!is_mqtt_text(text))
        *error = mem_printf("a topic filter is 1 to %d bytes of UTF-8 without NUL", TOPIC_BYTES_MAX);
    else if (text.len >= share.len && memcmp(text.data, share.data, share.len) == 0)
        *error = mem_printf("leave $share/<group>/ out and say `share: <group>` under bus");
    cleanup_buf struct buf mqtt = {0};
    struct span level;
    size_t at = 0;
    for (int number = 0; !*error && next_level(text, &at, &level); number++) {
        if (number > 0)
            buf_putc(&mqtt, '/');
        if (level.len > 0)
            *error = parse_level(filter, level, number, at > text.len, &mqtt);
    }
    if (*error) {
        topic_filter_finish(filter);
        return -1;
    }
    filter->mqtt = buf_steal(&mqtt);
    return 0;
}

void topic_filter_finish(struct topic_filter *filter)
{
    free(filter->mqtt);
    for (size_t i = 0; i < filter->capture_count; i++)
        free(filter->captures[i].name);
    *filter = (struct topic_filter){0};
}

/* Does `wide` take in everything that `narrow` says? A topic is a filter without wildcards. */
static bool takes_in(struct span wide, struct span narrow)
{
    if (narrow.len > 0 && narrow.data[0] == '$' && wide.len > 0 && (wide.data[0] == '+' || wide.data[0] == '#'))
        return false;
    size_t at_wide = 0, at_narrow = 0;
    struct span a, b;
    while (next_level(wide, &at_wide, &a)) {
        if (is_one(a, '#'))
            return true;
        if (!next_level(narrow, &at_narrow, &b) || is_one(b, '#'))
            return false;
        if (!is_one(a, '+') && !same(a, b))
            return false;
    }
    return at_narrow > narrow.len;
}

bool topic_filter_matches(const char *mqtt_filter, struct span topic)
{
    return takes_in(span_of(mqtt_filter), topic);
}

bool topic_filter_covers(const char *wide, const char *narrow)
{
    /* Every topic has a first level, so # alone says the same as +/#. */
    return takes_in(span_of(wide), strcmp(narrow, "#") == 0 ? SPAN("+/#") : span_of(narrow));
}

void topic_filter_capture(const struct topic_filter *filter, struct span topic, struct topic_captures *out)
{
    out->count = filter->capture_count;
    size_t at = 0, start = 0, found = 0;
    struct span level;
    for (int number = 0; found < filter->capture_count && next_level(topic, &at, &level); number++) {
        const struct topic_level *capture = &filter->captures[found];
        if (capture->level == number) {
            out->names[found] = capture->name;
            out->values[found++] = capture->rest ? (struct span){topic.data + start, topic.len - start} : level;
        }
        start = at;
    }
    for (; found < filter->capture_count; found++) { /* a/# takes in a: nothing is left to capture */
        out->names[found] = filter->captures[found].name;
        out->values[found] = SPAN("");
    }
}

/* ---- the trie ------------------------------------------------------------*/

/* With many filters each line of memory that is touched is a wait: one value and short levels stand in place. */
struct values {
    uint32_t count, cap;
    union {
        uint32_t one; /* count 1 */
        uint32_t *items;
    };
};

struct node {
    uint32_t plus;       /* child for +, 0: none (0 is the root, no one's child) */
    uint32_t named;      /* children with a name */
    struct values here;  /* filters that end here */
    struct values below; /* filters that end here with # */
};

#define SHORT_LEVEL 20

struct slot { /* child 0: free */
    uint32_t parent, child, len;
    union {
        char brief[SHORT_LEVEL]; /* len up to its size; no NUL */
        char *level;
    };
};

static struct span level_of(const struct slot *slot)
{
    return (struct span){slot->len <= SHORT_LEVEL ? slot->brief : slot->level, slot->len};
}

struct topic_trie {
    struct node *nodes;
    size_t node_count, node_cap;
    struct slot *slots; /* a power of two, at most half full */
    size_t slot_count, used;
};

struct topic_trie *topic_trie_create(void)
{
    struct topic_trie *trie = mem_alloc(sizeof(*trie));
    trie->nodes = mem_grow(NULL, &trie->node_cap, 1, sizeof(struct node));
    trie->node_count = 1;
    trie->slot_count = 16;
    trie->slots = mem_alloc(trie->slot_count * sizeof(struct slot));
    return trie;
}

static void finish_values(struct values *values)
{
    if (values->count > 1)
        free(values->items);
}

void topic_trie_destroy(struct topic_trie *trie)
{
    if (!trie)
        return;
    for (size_t i = 0; i < trie->node_count; i++) {
        finish_values(&trie->nodes[i].here);
        finish_values(&trie->nodes[i].below);
    }
    for (size_t i = 0; i < trie->slot_count; i++)
        if (trie->slots[i].len > SHORT_LEVEL)
            free(trie->slots[i].level);
    free(trie->nodes);
    free(trie->slots);
    free(trie);
}

/* The slot of this child, or the free one where it would stand. */
static struct slot *find_slot(const struct topic_trie *trie, uint32_t parent, struct span level)
{
    size_t mask = trie->slot_count - 1;
    for (size_t i = digest_fast(level, parent) & mask;; i = (i + 1) & mask) {
        struct slot *slot = &trie->slots[i];
        if (slot->child == 0 || (slot->parent == parent && same(level_of(slot), level)))
            return slot;
    }
}

static void grow_slots(struct topic_trie *trie)
{
    struct slot *old = trie->slots;
    size_t count = trie->slot_count;
    trie->slot_count = count * 2;
    trie->slots = mem_alloc(trie->slot_count * sizeof(struct slot));
    for (size_t i = 0; i < count; i++)
        if (old[i].child != 0)
            *find_slot(trie, old[i].parent, level_of(&old[i])) = old[i];
    free(old);
}

static uint32_t add_node(struct topic_trie *trie)
{
    trie->nodes = mem_grow(trie->nodes, &trie->node_cap, trie->node_count + 1, sizeof(struct node));
    return (uint32_t)trie->node_count++;
}

static uint32_t add_child(struct topic_trie *trie, uint32_t parent, struct span level)
{
    if (is_one(level, '+')) {
        uint32_t child = trie->nodes[parent].plus;
        if (child == 0) {
            child = add_node(trie);
            trie->nodes[parent].plus = child;
        }
        return child;
    }
    struct slot *slot = find_slot(trie, parent, level);
    if (slot->child != 0)
        return slot->child;
    uint32_t child = add_node(trie);
    trie->nodes[parent].named++;
    *slot = (struct slot){.parent = parent, .child = child, .len = (uint32_t)level.len};
    if (level.len > SHORT_LEVEL)
        slot->level = span_dup(level);
    else if (level.len > 0)
        memcpy(slot->brief, level.data, level.len);
    if (++trie->used * 2 > trie->slot_count)
        grow_slots(trie);
    return child;
}

static void put_value(struct values *values, uint32_t value)
{
    if (values->count == 0) {
        values->one = value;
    } else {
        size_t cap = values->cap;
        uint32_t *items = mem_grow(values->count > 1 ? values->items : NULL, &cap, values->count + 1, sizeof(*items));
        if (values->count == 1)
            items[0] = values->one;
        items[values->count] = value;
        values->items = items;
        values->cap = (uint32_t)cap;
    }
    values->count++;
}

void topic_trie_add(struct topic_trie *trie, const char *mqtt_filter, uint32_t value)
{
    struct span filter = span_of(mqtt_filter), level;
    size_t at = 0;
    uint32_t node = 0;
    while (next_level(filter, &at, &level)) {
        if (is_one(level, '#')) {
            put_value(&trie->nodes[node].below, value);
            return;
        }
        node = add_child(trie, node, level);
    }
    put_value(&trie->nodes[node].here, value);
}

struct match {
    const struct topic_trie *trie;
    struct span topic;
    uint32_t **values;
    size_t *cap;
    size_t count;
};

static void take(struct match *match, const struct values *values)
{
    if (values->count == 0)
        return;
    *match->values = mem_grow(*match->values, match->cap, match->count + values->count, sizeof(uint32_t));
    memcpy(*match->values + match->count, values->count > 1 ? values->items : &values->one,
           values->count * sizeof(uint32_t));
    match->count += values->count;
}

/* Recursion ends with the topic or the deepest filter, whichever comes first. */
static void walk(struct match *match, uint32_t number, size_t at)
{
    const struct node *node = &match->trie->nodes[number];
    bool hidden = at == 0 && match->topic.data[0] == '$';
    if (!hidden)
        take(match, &node->below);
    struct span level;
    if (!next_level(match->topic, &at, &level)) {
        take(match, &node->here);
        return;
    }
    if (node->plus != 0 && !hidden)
        walk(match, node->plus, at);
    uint32_t child = node->named > 0 ? find_slot(match->trie, number, level)->child : 0;
    if (child != 0)
        walk(match, child, at);
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

size_t topic_trie_match(const struct topic_trie *trie, struct span topic, uint32_t **values, size_t *cap)
{
    if (topic.len == 0)
        return 0;
    struct match match = {.trie = trie, .topic = topic, .values = values, .cap = cap};
    walk(&match, 0, 0);
    if (match.count < 2)
        return match.count;
    qsort(*values, match.count, sizeof(uint32_t), ascending);
    size_t kept = 1; /* a value may stand under several filters */
    for (size_t i = 1; i < match.count; i++)
        if ((*values)[i] != (*values)[kept - 1])
            (*values)[kept++] = (*values)[i];
    return kept;
}
