/* SPDX-License-Identifier: Apache-2.0 */

/* `auth` and `webhook_signature` of a target: how busbar shows the target who it is, and how the target's webhooks
 * do, where that is not as the plugin has it. */
#include "config_table.h"

#include <string.h>
#include <strings.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MOST_PLACES 7 /* of a signed string */

static bool is_header_name(const char *name)
{
    static const char letters[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return *name != '\0' && strspn(name, letters) == strlen(name);
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

/* What a setting holds must be there, and fit into a header. */
static void need(struct config_reader *reader, struct mark mark, const char *section, const char *key, const char *text)
{
    if (text == NULL)
        problems_add(reader->problems, mark, "'%s': '%s' is missing", section, key);
    else if (has_control(text))
        problems_add(reader->problems, mark,
                     "'%s': '%s' has a line break or control character, which no header may hold", section, key);
}

/* ---- auth ------------------------------------------------------------------------------*/

#define AT(member) offsetof(struct config_basic, member)
static const struct setting basic_rows[] = {
    {.key = "user", .kind = SETTING_TEXT, .offset = AT(user)},
    {.key = "password", .kind = SETTING_SECRET, .offset = AT(password)},
};
#undef AT
static const struct section basic_section = SECTION("basic", basic_rows, NULL);

#define AT(member) offsetof(struct config_auth_header, member)
static const struct setting header_rows[] = {
    {.key = "name", .kind = SETTING_TEXT, .offset = AT(name)},
    {.key = "value", .kind = SETTING_SECRET, .offset = AT(value)},
};
#undef AT
static const struct section header_section = SECTION("header", header_rows, NULL);

static const struct choice client_auths[] = {{"basic", OAUTH2_BASIC}, {"post", OAUTH2_POST}, {NULL, 0}};

#define AT(member) offsetof(struct config_oauth2, member)
static const struct setting oauth2_rows[] = {
    {.key = "token_url", .kind = SETTING_TEXT, .offset = AT(token_url)},
    {.key = "client_id", .kind = SETTING_TEXT, .offset = AT(client_id)},
    {.key = "client_secret", .kind = SETTING_SECRET, .offset = AT(client_secret)},
    {.key = "scope", .kind = SETTING_TEXT, .offset = AT(scope)},
    {.key = "audience", .kind = SETTING_TEXT, .offset = AT(audience)},
    {.key = "client_auth", .kind = SETTING_CHOICE, .offset = AT(client_auth), .choices = client_auths},
};
#undef AT
static const struct section oauth2_section = SECTION("oauth2", oauth2_rows, NULL);

#define AT(member) offsetof(struct config_auth, member)
static const struct setting auth_rows[] = {
    {.key = "bearer", .kind = SETTING_SECRET, .offset = AT(bearer)},
    {.key = "basic", .kind = SETTING_SECTION, .offset = AT(basic), .section = &basic_section},
    {.key = "header", .kind = SETTING_SECTION, .offset = AT(header), .section = &header_section},
    {.key = "oauth2", .kind = SETTING_SECTION, .offset = AT(oauth2), .section = &oauth2_section},
};
#undef AT
const struct section config_auth_section = SECTION("auth", auth_rows, NULL);

static const enum config_auth_kind kinds[] = {AUTH_BEARER, AUTH_BASIC, AUTH_HEADER,
                                              AUTH_OAUTH2}; /* as the rows stand */

static void check_header(struct config_reader *reader, const struct config_auth *auth)
{
    static const char *const cores[] = {"Host",       "Content-Length", "Content-Type", "Transfer-Encoding", "TE",
                                        "Connection", "Expect",         "Upgrade",      "User-Agent",        "Trailer"};
    const char *name = auth->header.name;
    need(reader, auth->mark, "header", "name", name);
    need(reader, auth->mark, "header", "value", auth->header.value);
    if (name != NULL && !is_header_name(name))
        problems_add(reader->problems, auth->mark, "'header': 'name' is no header's name");
    for (size_t i = 0; name != NULL && i < COUNT(cores); i++)
        if (strcasecmp(name, cores[i]) == 0)
            problems_add(reader->problems, auth->mark, "'header': '%s' is a header of busbar's own", name);
}

static void check_auth(struct config_reader *reader, const struct config_auth *auth)
{
    switch (auth->kind) {
    case AUTH_PLUGIN:
    case AUTH_NONE:
        break;
    case AUTH_BEARER:
        need(reader, auth->mark, "auth", "bearer", auth->bearer);
        break;
    case AUTH_BASIC:
        need(reader, auth->mark, "basic", "user", auth->basic.user);
        need(reader, auth->mark, "basic", "password", auth->basic.password);
        if (auth->basic.user != NULL && strchr(auth->basic.user, ':') != NULL)
            problems_add(reader->problems, auth->mark, "'basic': 'user' holds a colon, which no user name may");
        break;
    case AUTH_HEADER:
        check_header(reader, auth);
        break;
    case AUTH_OAUTH2:
        need(reader, auth->mark, "oauth2", "token_url", auth->oauth2.token_url);
        need(reader, auth->mark, "oauth2", "client_id", auth->oauth2.client_id);
        need(reader, auth->mark, "oauth2", "client_secret", auth->oauth2.client_secret);
        break;
    }
}

void config_read_auth(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_auth *auth = &((struct config_target *)base)->auth;
    const size_t errors = reader->problems->errors;
    size_t given = 0;
    auth->mark = node->mark;
    if (node->kind == YAML_SCALAR && span_is(node->text, "none")) {
        auth->kind = AUTH_NONE;
        return;
    }
    if (node->kind == YAML_MAPPING) {
        table_read(reader, &config_auth_section, node, node->mark, auth);
        for (size_t i = 0; i < COUNT(kinds); i++)
            if (yaml_get(node, auth_rows[i].key) != NULL) {
                auth->kind = kinds[i];
                given++;
            }
    }
    if (reader->problems->errors == errors && given != 1)
        problems_add(reader->problems, node->mark, "'auth' must be none, or one of bearer, basic, header and oauth2");
    else if (reader->problems->errors == errors)
        check_auth(reader, auth);
    if (reader->problems->errors > errors)
        auth->kind = AUTH_NONE; /* nothing will run, but more can be checked */
}

void config_print_auth(const struct config *config, const void *base, int indent, struct buf *out)
{
    const struct config_auth *auth = &((const struct config_target *)base)->auth;
    if (auth->kind == AUTH_PLUGIN)
        return;
    table_indent(out, indent);
    buf_puts(out, auth->kind == AUTH_NONE ? "auth: none\n" : "auth:\n");
    table_print(config, &config_auth_section, auth, indent + 2, out);
}

/* ---- webhook_signature ---------------------------------------------------------------------*/

static const struct choice profiles[] = {{"standard_webhooks", SIGNATURE_STANDARD_WEBHOOKS},
                                         {"github", SIGNATURE_GITHUB},
                                         {"hmac", SIGNATURE_HMAC},
                                         {"bearer", SIGNATURE_BEARER},
                                         {NULL, 0}};
static const struct choice encodings[] = {{"hex", SIGNATURE_HEX}, {"base64", SIGNATURE_BASE64}, {NULL, 0}};

#define AT(member) offsetof(struct config_signature, member)
static const struct setting signature_rows[] = {
    {.key = "profile", .kind = SETTING_CHOICE, .offset = AT(profile), .choices = profiles},
    {.key = "header", .kind = SETTING_TEXT, .offset = AT(header)},
    {.key = "prefix", .kind = SETTING_TEXT, .offset = AT(prefix)},
    {.key = "encoding", .kind = SETTING_CHOICE, .offset = AT(encoding), .choices = encodings},
    {.key = "signed", .kind = SETTING_TEXT, .offset = AT(signed_string)},
    {.key = "time_header", .kind = SETTING_TEXT, .offset = AT(time_header)},
    {.key = "id_header", .kind = SETTING_TEXT, .offset = AT(id_header)},
    {.key = "sign_key", .kind = SETTING_TEXT, .offset = AT(sign_key)},
    {.key = "time_key", .kind = SETTING_TEXT, .offset = AT(time_key)},
    {.key = "nonce_key", .kind = SETTING_TEXT, .offset = AT(nonce_key)},
};
#undef AT
const struct section config_signature_section = SECTION("webhook_signature", signature_rows, NULL);

static size_t places(const char *text)
{
    size_t count = 0;
    for (; (text = strchr(text, '{')) != NULL; text++)
        count++;
    return count;
}

static bool is_key(const char *text)
{
    return *text != '\0' && strpbrk(text, "=, \t") == NULL && !has_control(text);
}

/* The header's value as k=v,k=v,...: where `sign_key` says which is the signature. */
static void check_pairs(struct config_reader *reader, const struct config_signature *own, struct mark mark)
{
    const char *const keys[] = {own->sign_key, own->time_key, own->nonce_key};
    if (own->sign_key == NULL && (own->time_key != NULL || own->nonce_key != NULL))
        problems_add(reader->problems, mark,
                     "'webhook_signature': 'time_key' and 'nonce_key' need 'sign_key': the one with the signature");
    if (own->sign_key != NULL && own->prefix != NULL)
        problems_add(reader->problems, mark,
                     "'webhook_signature': 'prefix' and 'sign_key' are two kinds of header: say one");
    if (own->time_key != NULL && own->time_header != NULL)
        problems_add(reader->problems, mark,
                     "'webhook_signature': the time stands in 'time_key' or in 'time_header', not in both");
    for (size_t i = 0; i < COUNT(keys); i++) {
        if (keys[i] != NULL && !is_key(keys[i]))
            problems_add(reader->problems, mark, "'webhook_signature': '%s' is no key of a pair such as v1=...",
                         keys[i]);
        for (size_t j = 0; keys[i] != NULL && j < i; j++)
            if (keys[j] != NULL && strcmp(keys[i], keys[j]) == 0)
                problems_add(reader->problems, mark, "'webhook_signature': '%s' is the key of two things", keys[i]);
    }
}

/* {time}, {id} and {nonce} come in headers or pairs of their own, and only what is signed says anything. */
static void check_signed(struct config_reader *reader, const struct config_signature *own, struct mark mark)
{
    const char *signed_string = own->signed_string != NULL ? own->signed_string : "{body}";
    bool time = strstr(signed_string, "{time}") != NULL, id = strstr(signed_string, "{id}") != NULL;
    bool nonce = strstr(signed_string, "{nonce}") != NULL;
    if (strstr(signed_string, "{body}") == NULL || places(signed_string) > MOST_PLACES)
        problems_add(reader->problems, mark, "'webhook_signature': 'signed' must hold {body}, such as {time}.{body}");
    if (time != (own->time_header != NULL || own->time_key != NULL))
        problems_add(reader->problems, mark,
                     "'webhook_signature': 'time_header' (or 'time_key') and a {time} in 'signed' go together: a time "
                     "that is not signed proves nothing");
    if (id != (own->id_header != NULL))
        problems_add(reader->problems, mark, "'webhook_signature': 'id_header' and a {id} in 'signed' go together");
    if (nonce != (own->nonce_key != NULL))
        problems_add(reader->problems, mark, "'webhook_signature': 'nonce_key' and a {nonce} in 'signed' go together");
    check_pairs(reader, own, mark);
}

void config_check_event_header(struct config_reader *reader, const char *name, struct mark mark)
{
    if (!is_header_name(name))
        problems_add(reader->problems, mark, "'webhook_event_header': '%s' is no header's name", name);
}

void config_check_signature(struct config_reader *reader, const struct config_signature *own, struct mark mark)
{
    const char *const headers[] = {own->header, own->time_header, own->id_header};
    bool details = own->encoding != 0 || own->signed_string != NULL || own->time_header != NULL ||
                   own->id_header != NULL || own->sign_key != NULL || own->time_key != NULL || own->nonce_key != NULL;
    bool named = own->profile == SIGNATURE_STANDARD_WEBHOOKS || own->profile == SIGNATURE_GITHUB;
    if (own->profile == 0)
        problems_add(reader->problems, mark,
                     "'webhook_signature': 'profile' is missing: standard_webhooks, github, hmac or bearer");
    else if (named && (own->header != NULL || own->prefix != NULL || details))
        problems_add(reader->problems, mark, "'webhook_signature': only hmac and bearer have settings of their own");
    else if (own->profile == SIGNATURE_BEARER && details)
        problems_add(reader->problems, mark, "'webhook_signature': bearer knows 'header' and 'prefix'");
    else if (own->profile == SIGNATURE_HMAC && own->header == NULL)
        problems_add(reader->problems, mark, "'webhook_signature': 'header' is missing: the one with the signature");
    else if (own->profile == SIGNATURE_HMAC)
        check_signed(reader, own, mark);
    for (size_t i = 0; i < COUNT(headers); i++)
        if (headers[i] != NULL && !is_header_name(headers[i]))
            problems_add(reader->problems, mark, "'webhook_signature': '%s' is no header's name", headers[i]);
}
