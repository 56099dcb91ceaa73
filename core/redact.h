/* Secrets found in text, however they are spelled there: as they are, percent-encoded, as JSON escapes them, both of it
 * also twice, with Base64's letters of a URL. And taken out of text that people will share, each replaced by a stand-in
 * of its own shape (digits become 0, letters a or A), so that what depends on a length or an alphabet still works.
 * Pure. */
#ifndef BUSBAR_REDACT_H
#define BUSBAR_REDACT_H

#include "buf.h"

struct json_object;
struct redact;

#define REDACT_LEAST 4 /* bytes: a shorter one cannot be told from other text */

struct redact *redact_create(void);
void redact_destroy(struct redact *redact); /* wipes what it was told; NULL is legal */
/* Told once or often; NULL and shorter ones are none. */
void redact_add(struct redact *redact, const char *secret);
/* Appends text with each secret replaced, in Base64 too. Answers how many were found. */
size_t redact_text(const struct redact *redact, struct span text, struct buf *out);
/* How much of the text, from its beginning, is this secret; 0: it does not start here, or is too short. */
size_t redact_spelled(const char *secret, struct span text);
/* Marks each byte that its spellings may begin with. */
void redact_begins(const char *secret, bool begins[256]);
/* Members whose name says that they hold a secret (token, password, cookie ...), when they are text: "***". Changes the
 * value, tells `learn` (may be NULL) what stood there. Answers how many. */
size_t redact_members(struct json_object *value, struct redact *learn);
bool redact_is_secret_name(const char *name);

#endif
