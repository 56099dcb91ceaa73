/* SPDX-License-Identifier: Apache-2.0 */
/* Order of the questions: is the signature good (401), is the body a JSON object that names its event (400).
 * The body is parsed only once its signature was found good under one of the secrets; whether that secret is
 * the one of *this* event is asked afterwards. So no parser sees what a stranger sent, unless the operator
 * allowed unsigned calls. */
#include "hook.h"

#include "digest.h"
#include "json.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define SIGNATURE_HEX ((size_t)2 * DIGEST_BYTES)
#define SIGNATURE_BASE64_LEN 44 /* of DIGEST_BYTES */
#define SIGNATURES_MAX 16       /* in one header */
#define TIME_DIGITS_MAX 12
#define TIME_DIGITS_MS 13 /* in a header of its own: milliseconds, until the year 2286 and from 2001 on */
#define NONCE_MAX 256
#define EVENT_MAX 128
#define DEDUP_KEY_MAX 256
#define PARTS_MAX 16

/* What the signature's headers say. */
struct claim {
    struct span time, nonce, id;
    struct span signs[SIGNATURES_MAX];
    size_t sign_count;
    int64_t time_ms;
};

static void refuse(struct hook_result *result, int status, const char *outcome, const char *reason)
{
    result->status = status;
    result->outcome = outcome;
    result->reason = reason;
}

static struct span trim(struct span text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Cuts the text before `separator` off `rest`; the whole rest when there is none. */
static struct span take_until(struct span *rest, char separator, bool *found)
{
    const char *at = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    *found = at != NULL;
    struct span head = {rest->data, at ? (size_t)(at - rest->data) : rest->len};
    size_t used = head.len + (at ? 1 : 0);
    *rest = (struct span){used > 0 ? rest->data + used : rest->data, rest->len - used};
    return head;
}

/* A known key twice would let two readers disagree on what was signed: refused, but for the signature where the
 * profile has several of it. Pairs that we do not know are left alone, in any order. */
static const char *read_pairs(const struct hook_profile *profile, struct span text, struct claim *claim)
{
    const struct {
        const char *key;
        struct span *value;
    } known[] = {
        {profile->time_key, &claim->time},
        {profile->nonce_key, &claim->nonce},
        {profile->sign_key, &claim->signs[0]},
    };
    bool more = true;
    claim->sign_count = 0;
    while (more) {
        struct span value = trim(take_until(&text, ',', &more));
        bool is_pair;
        struct span key = take_until(&value, '=', &is_pair);
        if (!is_pair)
            return "the signature header holds a part that is not key=value";
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            if (!known[i].key || !span_is(key, known[i].key))
                continue;
            if (value.len == 0)
                return "the signature header holds an empty value";
            const bool is_sign = known[i].key == profile->sign_key;
            const bool again = known[i].value->data != NULL, one_more = is_sign && profile->several;
            if (again && !one_more)
                return "the signature header names a key twice";
            if (is_sign && claim->sign_count == SIGNATURES_MAX)
                return "the signature header holds too many signatures";
            *(is_sign ? &claim->signs[claim->sign_count++] : known[i].value) = value;
        }
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].key && !known[i].value->data)
            return "the signature header lacks its time, nonce or signature";
    return NULL;
}

/* A foreign one among several is passed over: another version of the scheme. */
static const char *read_prefixed(const struct hook_profile *profile, struct span text, struct claim *claim)
{
    size_t prefix = profile->prefix ? strlen(profile->prefix) : 0;
    bool more = true;
    text = trim(text);
    while (more) {
        struct span each = text;
        more = false;
        if (profile->several)
            each = take_until(&text, ' ', &more);
        if (each.len < prefix || (prefix > 0 && memcmp(each.data, profile->prefix, prefix) != 0))
            continue;
        if (claim->sign_count == SIGNATURES_MAX)
            return "the signature header holds too many signatures";
        claim->signs[claim->sign_count++] = (struct span){each.data + prefix, each.len - prefix};
    }
    return claim->sign_count > 0 ? NULL : "the signature header does not start as it should";
}

static bool read_time(struct span text, bool may_be_ms, int64_t *time_ms)
{
    int64_t number = 0;
    bool is_ms = may_be_ms && text.len == TIME_DIGITS_MS;
    if (text.len == 0 || (text.len > TIME_DIGITS_MAX && !is_ms))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        number = number * 10 + (text.data[i] - '0');
    }
    *time_ms = is_ms ? number : number * 1000;
    return true;
}

static const char *sign_fault(const struct hook_profile *profile, struct span sign)
{
    if (profile->base64)
        return sign.len == SIGNATURE_BASE64_LEN ? NULL : "the signature is not 32 bytes in base64";
    if (sign.len != SIGNATURE_HEX)
        return "the signature is not 64 hex digits";
    for (size_t i = 0; i < sign.len; i++)
        if (!strchr("0123456789abcdef", sign.data[i]) || sign.data[i] == '\0')
            return "the signature is not lower-case hex";
    return NULL;
}

/* Time and id in headers of their own. */
static const char *read_beside(const struct hook_profile *profile, const struct hook_request *request,
                               struct claim *claim)
{
    if (profile->time_header) {
        claim->time = trim(span_of(request->time.value));
        if (claim->time.len == 0)
            return "the header with the signature's time is missing";
    }
    if (profile->id_header) {
        claim->id = trim(span_of(request->id.value));
        if (claim->id.len == 0)
            return "the header with the signed id is missing";
    }
    return claim->id.len > NONCE_MAX ? "the signed id is too long" : NULL;
}

/* NULL, or what is malformed. */
static const char *read_claim(const struct hook_profile *profile, const struct hook_request *request,
                              struct claim *claim)
{
    const struct span header = span_of(request->signature.value);
    const char *wrong = profile->pairs ? read_pairs(profile, header, claim) : read_prefixed(profile, header, claim);
    wrong = wrong ? wrong : read_beside(profile, request, claim);
    if (wrong)
        return wrong;
    if (claim->time.data && !read_time(claim->time, profile->time_header, &claim->time_ms))
        return "the signature's time is not Unix seconds";
    if (claim->nonce.len > NONCE_MAX)
        return "the signature's nonce is too long";
    for (size_t i = 0; !wrong && profile->proof == HOOK_HMAC && i < claim->sign_count; i++)
        wrong = sign_fault(profile, claim->signs[i]);
    return wrong;
}

/* The signed string in pieces, so that the body is not copied. Answers how many; 0: the profile has too many. */
static size_t signed_parts(const char *pattern, const struct claim *claim, struct span body,
                           struct span parts[PARTS_MAX])
{
    const struct {
        struct span name, value;
    } fields[] = {
        {SPAN("{time}"), claim->time},
        {SPAN("{nonce}"), claim->nonce},
        {SPAN("{id}"), claim->id},
        {SPAN("{body}"), body},
    };
    size_t count = 0;
    const char *literal = pattern;
    for (const char *at = pattern;;) {
        size_t field = 0, n = sizeof fields / sizeof fields[0];
        while (field < n && strncmp(at, fields[field].name.data, fields[field].name.len) != 0)
            field++;
        if (field == n && *at) {
            at++;
            continue;
        }
        if (count + 2 > PARTS_MAX)
            return 0;
        if (at > literal)
            parts[count++] = (struct span){literal, (size_t)(at - literal)};
        if (!*at)
            return count;
        parts[count++] = fields[field].value;
        at += fields[field].name.len;
        literal = at;
    }
}

/* The two are hashed, so that not even the length of the secret can be measured. */
static bool is_token(const char *secret, struct span token)
{
    unsigned char ours[DIGEST_BYTES], theirs[DIGEST_BYTES];
    digest_sha256(span_of(secret), ours);
    digest_sha256(token, theirs);
    return digest_equal(ours, theirs, sizeof ours);
}

/* The key that a secret stands for: the secret itself, or what it holds in base64. */
static bool read_key(const struct hook_profile *profile, const char *secret, struct buf *key)
{
    const size_t prefix = profile->key_prefix ? strlen(profile->key_prefix) : 0;
    if (!profile->key_prefix) {
        buf_puts(key, secret);
        return key->len > 0;
    }
    if (strncmp(secret, profile->key_prefix, prefix) == 0)
        secret += prefix;
    return digest_base64_decode(span_of(secret), key) && key->len > 0;
}

static bool secret_signed(const struct hook_profile *profile, const char *secret, const struct claim *claim,
                          const struct span *parts, size_t count)
{
    unsigned char mac[DIGEST_BYTES];
    char hex[DIGEST_HEX_MAX];
    bool any = false;
    if (!secret || !*secret) /* an empty key is known to everyone */
        return false;
    if (profile->proof == HOOK_TOKEN)
        return is_token(secret, claim->signs[0]);
    struct buf key = {0};
    if (read_key(profile, secret, &key)) {
        digest_hmac_sha256(buf_span(&key), parts, count, mac);
        digest_hex(mac, sizeof mac, hex);
        char *base64 cleanup_text = digest_base64((struct span){(const char *)mac, sizeof mac});
        const char *expected = profile->base64 ? base64 : hex;
        for (size_t i = 0; i < claim->sign_count; i++)
            any |= digest_equal(expected, claim->signs[i].data, claim->signs[i].len);
    }
    if (key.data)
        explicit_bzero(key.data, key.len);
    buf_finish(&key);
    return any;
}

/* Which secrets made this signature: tells `matches` by index. */
static bool match_secrets(const struct hook_rules *rules, const struct claim *claim, struct span body, bool *matches)
{
    const struct hook_profile *profile = &rules->profile;
    struct span parts[PARTS_MAX];
    size_t count = profile->proof == HOOK_HMAC ? signed_parts(profile->signed_string, claim, body, parts) : 1;
    bool any = false;
    for (size_t i = 0; i < rules->secret_count; i++) {
        matches[i] = count > 0 && secret_signed(profile, rules->secrets[i].secret, claim, parts, count);
        any = any || matches[i];
    }
    return any;
}

const char *hook_secret_fault(const struct hook_profile *profile, const char *secret)
{
    struct buf key = {0};
    bool good = profile->proof == HOOK_TOKEN || read_key(profile, secret, &key);
    if (key.data)
        explicit_bzero(key.data, key.len);
    buf_finish(&key);
    return good ? NULL : "must be whsec_ and a key in base64, as Standard Webhooks has it";
}

static bool is_event(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return len > 0 && len <= EVENT_MAX && span_is_utf8((struct span){name, len}); /* a header may be anything */
}

static bool read_event(const struct hook_rules *rules, const struct hook_request *request, struct json_object **body,
                       struct hook_result *result)
{
    const char *error = NULL;
    bool is_null = false;
    *body = json_parse(request->body, &is_null, &error);
    if (!*body || !json_object_is_type(*body, json_type_object)) {
        refuse(result, 400, "bad_json", "the body is not a JSON object");
        result->detail = error;
        return false;
    }
    struct json_object *value = json_pointer(*body, rules->hook->event_pointer, NULL);
    const char *name = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
    if (*name && strlen(name) != (size_t)json_object_get_string_len(value))
        name = "";
    if (rules->event_in_header)
        name = request->event.value && request->event.count == 1 ? request->event.value : "";
    if (!is_event(name)) {
        refuse(result, 400, "no_event",
               rules->event_in_header ? "the header that names the event is missing, or no name"
                                      : "the body does not name its event");
        return false;
    }
    result->event = mem_strdup(name);
    return true;
}

/* Are there secrets for this event (NULL: for every event); was one of them used. */
static bool has_secret_for(const struct hook_rules *rules, const char *event, const bool *matches, bool *matched)
{
    bool has = false;
    *matched = false;
    for (size_t i = 0; rules->profile.proof && i < rules->secret_count; i++) {
        const char *only = rules->secrets[i].event;
        if (only && (!event || strcmp(only, event) != 0))
            continue;
        has = true;
        *matched = *matched || matches[i];
    }
    return has;
}

static char *hash_key(const char *prefix, struct span bytes)
{
    unsigned char hash[DIGEST_BYTES];
    char hex[DIGEST_HEX_MAX];
    digest_sha256(bytes, hash);
    digest_hex(hash, sizeof hash, hex);
    return mem_printf("%s%s", prefix, hex);
}

static bool is_key_value(struct json_object *value)
{
    return json_object_is_type(value, json_type_int) ||
           (json_object_is_type(value, json_type_string) && json_object_get_string_len(value) > 0);
}

/* The named values as one JSON array (so that no value can run into its neighbour). When the target gave no key of
 * its own (without it the rest says nothing about identity): the id that it signed, else the body's hash. */
static char *make_dedup_key(const struct bb_hook *hook, struct json_object *root, struct span body, const char *id)
{
    bool usable = hook->dedup_pointers && hook->dedup_pointers[0];
    if (hook->dedup_required)
        usable = usable && is_key_value(json_pointer(root, hook->dedup_required, NULL));
    if (!usable)
        return id ? mem_printf("id:%s", id) : hash_key("sha256:", body);
    cleanup_buf struct buf key = {0};
    for (size_t i = 0; hook->dedup_pointers[i]; i++) {
        buf_putc(&key, i == 0 ? '[' : ',');
        json_print(json_pointer(root, hook->dedup_pointers[i], NULL), &key);
    }
    buf_putc(&key, ']');
    return key.len > DEDUP_KEY_MAX ? hash_key("key-sha256:", buf_span(&key)) : buf_steal(&key);
}

/* Every secret that is configured may sign; the header must be there once, well formed, fresh. */
static bool check_signature(const struct hook_rules *rules, const struct hook_request *request, bool *matches,
                            struct hook_result *result)
{
    struct claim claim = {0};
    if (request->signature.count > 1 || request->time.count > 1 || request->id.count > 1) {
        refuse(result, 401, "malformed_signature", "a header of the signature came more than once");
        return false;
    }
    const char *wrong = read_claim(&rules->profile, request, &claim);
    if (wrong) {
        refuse(result, 401, "malformed_signature", wrong);
        return false;
    }
    if (!match_secrets(rules, &claim, request->body, matches)) {
        refuse(result, 401, "bad_signature", "the signature does not match the body");
        return false;
    }
    int64_t age_ms = request->now_ms - claim.time_ms;
    if (claim.time.data && rules->tolerance_ms > 0 && (age_ms > rules->tolerance_ms || -age_ms > rules->tolerance_ms)) {
        refuse(result, 401, "stale", "the signature's time is too far from this clock");
        return false;
    }
    if (claim.nonce.data)
        result->nonce = span_dup(claim.nonce);
    if (claim.id.data)
        result->id = span_dup(claim.id);
    return true;
}

/* With a secret for each event, only the body tells which one had to be used: the rest of the 401s. */
static void check_event(const struct hook_rules *rules, const struct hook_request *request, const bool *matches,
                        struct hook_result *result)
{
    bool matched;
    bool has = has_secret_for(rules, result->event, matches, &matched);
    if (has && !request->signature.value)
        refuse(result, 401, "unsigned", "the signature header is missing");
    else if (has && !matched)
        refuse(result, 401, "bad_signature", "the signature is not made with this event's secret");
    else if (!has && !rules->allow_unsigned)
        refuse(result, 401, "bad_signature", "no webhook_secret is configured for this event");
    else
        refuse(result, 200, "accepted", "");
}

static void verify(const struct hook_rules *rules, const struct hook_request *request, bool *matches,
                   struct hook_result *result)
{
    bool can_sign = rules->profile.proof && rules->secret_count > 0;
    bool unused;
    if (can_sign && request->signature.value) {
        if (!check_signature(rules, request, matches, result))
            return;
    } else if (!rules->allow_unsigned || has_secret_for(rules, NULL, matches, &unused)) {
        refuse(result, 401, "unsigned",
               can_sign ? "the signature header is missing" : "no webhook_secret is configured for this target");
        return;
    }
    cleanup_json struct json_object *body = NULL;
    if (!read_event(rules, request, &body, result))
        return;
    check_event(rules, request, matches, result);
    if (result->status == 200)
        result->dedup_key = make_dedup_key(rules->hook, body, request->body, result->id);
}

void hook_verify(const struct hook_rules *rules, const struct hook_request *request, struct hook_result *result)
{
    *result = (struct hook_result){0};
    bool *matches = mem_alloc((rules->secret_count + 1) * sizeof *matches);
    verify(rules, request, matches, result);
    free(matches);
    if (result->status != 200)
        hook_result_finish(result); /* what was refused has no name, key or nonce */
}

void hook_result_finish(struct hook_result *result)
{
    mem_free_char(&result->event);
    mem_free_char(&result->dedup_key);
    mem_free_char(&result->nonce);
    mem_free_char(&result->id);
}
