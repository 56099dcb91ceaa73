/* SPDX-License-Identifier: Apache-2.0 */
/* contract.check: holds what this plugin sends against the site's own description of its API (AS-C04), an OpenAPI
 * 2.0 document. It answers on the customer's site what the public pages leave open: whether each call is there, and
 * whether an order's members are spelt as we spell them (AS-C09). The pointers in its error are those of the
 * document.
 *
 * The page is behind a login and says nowhere what the document's address is, so a refusal says nothing about the
 * credential: it never holds the target. */
#include "assetic.h"

#include <json-c/json.h>
#include <string.h>
#include <strings.h>

#define PAGE "/apidocs"
#define ORDER "/api/v2/workorder"

static const struct {
    const char *method, *path;
} calls[] = {
    {"post", ORDER},                        /* AS-E01 */
    {"get", ORDER},                         /* AS-X01 */
    {"get", "/api/v2/worktype"},            /* AS-E02 */
    {"get", "/api/v2/fcrcategorisation"},   /* AS-E03 */
    {"get", "/api/v2/auth"},                /* AS-E04 */
    {"get", "/api/v2/resource"},            /* AS-E05 */
    {"get", "/api/v2/resource/{id}/craft"}, /* AS-E06 */
    {"get", "/api/v2/billofmaterial"},      /* AS-E07 */
    {"get", "/api/v2/serviceactivity"},     /* AS-E08 */
    {"get", "/api/v2/unittype"},            /* AS-E09 */
    {"get", "/api/v2/assets/{id}"},         /* AS-E10 */
    {"post", "/api/v2/document"},           /* AS-E11 */
};

/* ---- reading the document ----------------------------------------------------*/

/* Case does not matter in a path of theirs, nor what is between braces. */
static bool same_path(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        if (*a == '{' && *b == '{') {
            a += strcspn(a, "}");
            b += strcspn(b, "}");
        }
        if (strncasecmp(a, b, 1) != 0)
            return false;
    }
    return *a == *b;
}

/* The call's description; *name: its path as the document writes it. NULL: there is none. */
static struct json_object *find_call(const struct as_call *call, struct json_object *document, const char *method,
                                     const char *path, const char **name)
{
    const char *base = as_text_at(call, document, "/basePath");
    struct json_object *paths = pl_member(document, "paths");
    size_t len = base ? strlen(base) : 0;
    while (len > 0 && base[len - 1] == '/')
        len--;
    *name = path;
    json_object_object_foreach(paths, each, verbs)
    {
        if (!same_path(call->host->format(call->job, "%.*s%s", (int)len, base ? base : "", each), path))
            continue;
        *name = call->host->format(call->job, "%s", each);
        return pl_member(verbs, method);
    }
    return NULL;
}

/* The object that describes the body's members, after one $ref. NULL: none. */
static struct json_object *find_body(const struct as_call *call, struct json_object *document,
                                     struct json_object *description, const char **pointer)
{
    struct json_object *parameters = pl_member(description, "parameters");
    for (size_t i = 0; json_object_is_type(parameters, json_type_array) && i < json_object_array_length(parameters);
         i++) {
        struct json_object *each = json_object_array_get_idx(parameters, i);
        const char *in = as_text_at(call, each, "/in"), *ref = as_text_at(call, each, "/schema/$ref");
        if (!in || strcmp(in, "body") != 0 || !ref || ref[0] != '#')
            continue;
        *pointer = call->host->format(call->job, "%s/properties", ref + 1);
        return pl_at(document, *pointer);
    }
    return NULL;
}

/* ---- holding it against ours ----------------------------------------------------*/

static void check_call(const struct as_call *call, struct pl_faults *faults, struct json_object *document,
                       const char *method, const char *path)
{
    const char *name, *pointer = NULL;
    struct json_object *description = find_call(call, document, method, path, &name);
    if (!description) {
        pl_fault(faults, call->host->format(call->job, "%s/%s", pl_pointer_to(faults, "/paths", name), method),
                 "required", NULL, "is not among the site's calls");
        return;
    }
    struct json_object *members = strcmp(method, "post") == 0 && strcmp(path, ORDER) == 0
                                      ? find_body(call, document, description, &pointer)
                                      : NULL;
    if (!json_object_is_type(members, json_type_object))
        return;
    const char *member;
    for (size_t i = 0; (member = as_order_member(i)); i++)
        if (!json_object_object_get_ex(members, member, NULL))
            pl_fault(faults, call->host->format(call->job, "%s/%s", pointer, member), "required", NULL,
                     "is no member of the site's work order");
}

static enum bb_next compare(const struct as_call *call)
{
    PL_SCOPED struct json_object *document = pl_parse(call->in->response->body);
    struct pl_faults faults = {.host = call->host, .job = call->job};
    enum bb_next next = BB_DONE;
    if (!json_object_is_type(pl_member(document, "paths"), json_type_object))
        return pl_fail(call->out, BB_REJECT, BB_VALIDATION, "no_openapi",
                       "the answer is no OpenAPI document: give as document the path of the one that the page " PAGE
                       " loads");
    for (size_t i = 0; i < PL_COUNT(calls); i++)
        check_call(call, &faults, document, calls[i].method, calls[i].path);
    if (faults.count > 0)
        next =
            pl_reject_faults(&faults, call->out, "contract_differs", "the site's API is not the one that busbar knows");
    return next;
}

static const char *document_of(const struct as_call *call, struct bb_str body)
{
    PL_SCOPED struct json_object *given = pl_parse(body);
    const char *path = as_text_at(call, given, "/document");
    return path ? path : PAGE;
}

enum bb_next as_contract(const struct as_call *call)
{
    if (!call->in->response) {
        const char *problem = as_contract_check(call, call->in->messages[0].body);
        if (problem)
            return pl_fail(call->out, BB_REJECT, BB_VALIDATION, "invalid_check", problem);
        call->out->request =
            (struct bb_request){.method = "GET", .path = document_of(call, call->in->messages[0].body)};
        return BB_SEND;
    }
    enum bb_next next = as_judge(call);
    if (call->in->response->status >= 200 && call->in->response->status <= 299) /* a page too: it says what is wrong */
        return compare(call);
    return next == BB_HOLD ? BB_REJECT : next;
}

/* As an address writes it: from the root, without steps up or characters that it would encode. */
static bool is_path(const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/?";
    return *text == '/' && strspn(text, plain) == strlen(text) && !strstr(text, "/.");
}

const char *as_contract_check(const struct as_call *call, struct bb_str body)
{
    PL_SCOPED struct json_object *given = pl_parse(body);
    struct json_object *path = pl_member(given, "document");
    const char *text = as_text_of(call, path);
    if (path && (!text || !is_path(text)))
        return "/document must be a path of the site, such as " PAGE;
    return NULL;
}
