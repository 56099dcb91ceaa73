/* A delivery in a store: looked at after the callback is over, begun and settled. */
#ifndef BUSBAR_STORE_DELIVERY_H
#define BUSBAR_STORE_DELIVERY_H

#include "store_fixture.h"

/* What a test looks at after the callback is over. */
struct seen {
    int count;
    struct delivery last;
    char *texts[16];
    size_t text_count;
    int64_t seqs[64];
};

static inline const char *keep(struct seen *seen, const char *text)
{
    if (!text)
        return NULL;
    return seen->texts[seen->text_count++] = mem_strdup(text);
}

static inline void see(void *context, const struct delivery *delivery)
{
    struct seen *seen = context;
    seen->seqs[seen->count++ % 64] = delivery->seq;
    while (seen->text_count > 0)
        mem_free_char(&seen->texts[--seen->text_count]);
    seen->last = *delivery;
    seen->last.error.code = keep(seen, delivery->error.code);
    seen->last.error.message = keep(seen, delivery->error.message);
    seen->last.operation = keep(seen, delivery->operation);
    seen->last.request = keep(seen, delivery->request);
    seen->last.response = keep(seen, delivery->response);
    seen->last.merged_into = keep(seen, delivery->merged_into);
    seen->last.body.data = keep(seen, delivery->body.data);
}

static inline void seen_finish(struct seen *seen)
{
    while (seen->text_count > 0)
        mem_free_char(&seen->texts[--seen->text_count]);
}
#define SEEN __attribute__((cleanup(seen_finish))) struct seen

static inline void get(struct fixture *fixture, int64_t seq, struct seen *seen)
{
    seen->count = 0;
    assert_int_equal(store_get_delivery(fixture->session, seq, see, seen), 0);
    assert_int_equal(seen->count, 1);
}

static inline void start(struct fixture *fixture, int64_t seq)
{
    WRITE(fixture->session, store_start_attempt(fixture->session, seq, NULL, NOW));
}

static inline void settle(struct fixture *fixture, int64_t seq, struct settlement settlement)
{
    if (!settlement.who)
        settlement.who = "busbar";
    if (!settlement.what)
        settlement.what = "attempt";
    settlement.now_ms = NOW + 1;
    WRITE(fixture->session, store_settle(fixture->session, seq, &settlement));
}

#endif
