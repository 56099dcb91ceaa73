/* Hashes, HMAC, identifiers. OpenSSL's home. Any thread. */
#ifndef BUSBAR_DIGEST_H
#define BUSBAR_DIGEST_H

#include "buf.h"

#define DIGEST_BYTES 32
#define DIGEST_HEX_MAX 65
#define UUID_TEXT_MAX 37

void digest_sha256(struct span bytes, unsigned char out[DIGEST_BYTES]);
void digest_hmac_sha256(struct span key, const struct span *parts, size_t count, unsigned char out[DIGEST_BYTES]);
void digest_hex(const unsigned char *bytes, size_t len, char *hex); /* lower case, NUL-terminated, 2*len+1 */
bool digest_equal(const void *a, const void *b, size_t len);        /* constant time */
uint64_t digest_fast(struct span bytes, uint64_t seed);             /* not cryptographic: for hash tables and rings */
char *digest_base64(struct span bytes);                             /* gives */
bool digest_base64_decode(struct span text, struct buf *out);       /* appends; false, and nothing, when not base64 */
uint64_t random_u64(void);
double random_unit(void);                                 /* [0, 1) */
void uuid_v7(int64_t wall_ms, char text[UUID_TEXT_MAX]);  /* time-ordered, random */
void uuid_v5(struct span name, char text[UUID_TEXT_MAX]); /* of our own name space */

#endif
