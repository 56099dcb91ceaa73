/* The common words of a work order and what may follow what: statuses (FV-04), sync states (FV-05), priorities, event
 * types (FV-06). Pure tables, each with this one home. */
#ifndef BUSBAR_LIFECYCLE_H
#define BUSBAR_LIFECYCLE_H

#include "buf.h"

/* The closed lists to which a target's words are mapped. */
enum word_list { WORDS_STATUS = 0, WORDS_PRIORITY, WORDS_EVENT, WORD_LISTS };

/* The list's own key in `map:`: status, priority, event. */
const char *lifecycle_list_name(enum word_list list);
const char *const *lifecycle_words(enum word_list list, size_t *count); /* static */
/* The list's own copy of the word (static), or NULL: it has none such. */
const char *lifecycle_word(enum word_list list, const char *word);

bool lifecycle_allows(const char *from, const char *to); /* same to same: true; words that are none: false */
bool lifecycle_is_over(const char *status);              /* completed, closed, canceled */
/* "approved, assigned or canceled"; "nothing" for a status that leads nowhere. */
void lifecycle_print_next(const char *from, struct buf *out);

/* from NULL: there is no record yet. */
bool sync_state_allows(const char *from, const char *to);

#endif
