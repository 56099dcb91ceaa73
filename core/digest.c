/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include "log.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void must(int ok)
{
    if (ok != 1) {
        log_last_word("busbar: OpenSSL refused a hash\n");
        abort();
    }
}

void digest_sha256(struct span bytes, unsigned char out[DIGEST_BYTES])
{
    unsigned len = 0;
    must(EVP_Digest(bytes.data != NULL ? bytes.data : "", bytes.len, out, &len, EVP_sha256(), NULL));
}

void digest_hmac_sha256(struct span key, const struct span *parts, size_t count, unsigned char out[DIGEST_BYTES])
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                           OSSL_PARAM_construct_end()};
    size_t len = 0;
    must(EVP_MAC_init(context, (const unsigned char *)(key.data != NULL ? key.data : ""), key.len, params));
    for (size_t i = 0; i < count; i++)
        if (parts[i].len > 0)
            must(EVP_MAC_update(context, (const unsigned char *)parts[i].data, parts[i].len));
    must(EVP_MAC_final(context, out, &len, DIGEST_BYTES));
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(mac);
}

void digest_hex(const unsigned char *bytes, size_t len, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * len] = '\0';
}

bool digest_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

/* FNV-1a over 8-byte steps with a final mix: enough for tables that outsiders cannot fill at will
 * because they are seeded at random. */
uint64_t digest_fast(struct span bytes, uint64_t seed)
{
    uint64_t hash = 0xcbf29ce484222325u ^ seed;
    size_t i = 0;
    for (; i + 8 <= bytes.len; i += 8) {
        uint64_t chunk;
        memcpy(&chunk, bytes.data + i, 8);
        hash = (hash ^ chunk) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
    for (; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.data[i]) * 0x100000001b3u;
    hash ^= bytes.len;
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccdu;
    hash ^= hash >> 33;
    hash *= 0xc4ceb9fe1a85ec53u;
    return hash ^ (hash >> 33);
}

char *digest_base64(struct span bytes)
{
    char *text = mem_alloc((bytes.len + 2) / 3 * 4 + 1);
    if (bytes.len > 0)
        EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)bytes.data, (int)bytes.len);
    return text;
}

/* Letters, and as many = as the last four lack. EVP_DecodeBlock takes blanks around them and = among them, too. */
static bool is_base64(struct span text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t count = 0;
    while (count < text.len && memchr(letters, text.data[count], sizeof(letters) - 1) != NULL)
        count++;
    struct span rest = {text.data + count, text.len - count};
    return text.len % 4 == 0 && (rest.len == 0 || span_is(rest, "=") || span_is(rest, "=="));
}

bool digest_base64_decode(struct span text, struct buf *out)
{
    if (!is_base64(text))
        return false;
    if (text.len == 0)
        return true;
    buf_reserve(out, text.len);
    int len = EVP_DecodeBlock((unsigned char *)out->data + out->len, (const unsigned char *)text.data, (int)text.len);
    if (len < 0)
        return false;
    size_t padding = (size_t)(text.data[text.len - 1] == '=') + (size_t)(text.data[text.len - 2] == '=');
    out->len += (size_t)len - padding;
    out->data[out->len] = '\0';
    return true;
}

uint64_t random_u64(void)
{
    static _Thread_local uint64_t pool[32];
    static _Thread_local size_t left;
    if (left == 0) {
        size_t have = 0;
        while (have < sizeof(pool)) {
            ssize_t got = getrandom((char *)pool + have, sizeof(pool) - have, 0);
            if (got > 0)
                have += (size_t)got;
        }
        left = sizeof(pool) / sizeof(pool[0]);
    }
    return pool[--left];
}

double random_unit(void)
{
    return (double)(random_u64() >> 11) / 9007199254740992.0;
}

static void format_uuid(unsigned char b[16], int version, char text[UUID_TEXT_MAX])
{
    b[6] = (unsigned char)((b[6] & 0x0f) | (version << 4));
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < 16; i++, text += 2) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *text++ = '-';
        digest_hex(b + i, 1, text);
    }
}

void uuid_v7(int64_t wall_ms, char text[UUID_TEXT_MAX])
{
    unsigned char b[16];
    uint64_t high = random_u64(), low = random_u64();
    for (int i = 0; i < 6; i++)
        b[i] = (unsigned char)((uint64_t)wall_ms >> (40 - 8 * i));
    memcpy(b + 6, &high, 2);
    memcpy(b + 8, &low, 8);
    format_uuid(b, 7, text);
}

void uuid_v5(struct span name, char text[UUID_TEXT_MAX])
{
    /* busbar's own name space, made once at random */
    static const unsigned char space[16] = {0x5e, 0x0b, 0x2c, 0x51, 0x7a, 0x1f, 0x4c, 0x0e,
                                            0x9d, 0x43, 0x62, 0x75, 0x73, 0x62, 0x61, 0x72};
    unsigned char hash[20];
    unsigned len = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(EVP_DigestInit_ex(context, EVP_sha1(), NULL));
    must(EVP_DigestUpdate(context, space, sizeof(space)));
    must(EVP_DigestUpdate(context, name.data != NULL ? name.data : "", name.len));
    must(EVP_DigestFinal_ex(context, hash, &len));
    EVP_MD_CTX_free(context);
    format_uuid(hash, 5, text);
}
