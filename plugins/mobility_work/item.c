/* SPDX-License-Identifier: Apache-2.0 */
/* One item of a bulk call, read by the table of its operation's members. What Mobility Work would refuse is a fault
 * with the pointer into the message; what is good goes into the request.
 *
 * In an update absent, null and a value are three things (MW-C14): leave, unset, replace. In a create null is the
 * same as absent. In a route's template (call->in is NULL) null means: not known yet. */
#include "mobility_work.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>

#define NATIVE "native"
#define ITEM_DEPTH_MAX 16                 /* none is known to go beyond 3 */
#define ITEM_BYTES_MAX ((size_t)64 << 10) /* the longest text is 3000 characters, and 10,000 make a request */

static struct json_object *wrong(struct mw_item *item, const char *pointer, const char *key, const char *sentence)
{
    pl_fault(&item->faults.said, pointer, key, NULL, sentence);
    return NULL;
}

static const char *below(struct mw_item *item, const char *pointer, const char *name)
{
    const struct mw_call *call = item->faults.call;
    return call->host->format(call->job, "%s/%s", pointer, name);
}

/* ---- text and numbers -----------------------------------------------------------------*/

/* Code points, not bytes (U19). */
struct json_object *mw_read_text(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    if (!json_object_is_type(value, json_type_string))
        return wrong(item, member->pointer, "type", "must be a string");
    const int length = pl_characters(value);
    if (length >= member->min && (member->max == 0 || length <= member->max))
        return json_object_get(value);
    const struct mw_call *call = item->faults.call;
    struct json_object *parameters = json_object_new_object();
    json_object_object_add(parameters, "min", json_object_new_int(member->min));
    if (member->max > 0)
        json_object_object_add(parameters, "max", json_object_new_int(member->max));
    json_object_object_add(parameters, "length", json_object_new_int(length));
    pl_fault(&item->faults.said, member->pointer, length < member->min ? "min_length" : "max_length", parameters,
             member->max > 0 ? call->host->format(call->job, "must hold %d to %d characters", member->min, member->max)
                             : "must not be empty");
    return NULL;
}

struct json_object *mw_read_gtin(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    const char *text = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
    const size_t len = strspn(text, "0123456789");
    if (len >= 8 && len <= 18 && len == (size_t)json_object_get_string_len(value))
        return json_object_get(value);
    return wrong(item, member->pointer, "pattern", "must be a string of 8 to 18 digits");
}

/* Not empty, and the first is a word character; whether that means é too is not documented (U20). */
struct json_object *mw_read_location(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    struct json_object *text = mw_read_text(item, member, value);
    const char *start = text ? json_object_get_string(text) : "";
    if (!text || pl_matches((char[]){*start, '\0'}, 1, "_"))
        return text;
    if ((unsigned char)*start >= 0x80) {
        const struct mw_call *call = item->faults.call;
        if (call->in)
            call->host->log(call->job, BB_LOG_WARN,
                            "Mobility Work may refuse a location whose first letter is outside A-Z a-z 0-9 _");
        return text;
    }
    pl_put(&text);
    return wrong(item, member->pointer, "pattern", "must begin with a letter, a digit or _");
}

/* 12.0 is a whole number too. */
struct json_object *mw_read_whole(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    const enum json_type type = json_object_get_type(value);
    int64_t whole;
    if ((type == json_type_int || type == json_type_double) &&
        mw_shift_decimal(json_object_get_string(value), 0, &whole))
        return json_object_new_int64(whole);
    return wrong(item, member->pointer, "whole_number", "must be a whole number from 0");
}

struct json_object *mw_read_number(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    const enum json_type type = json_object_get_type(value);
    if (type == json_type_int || type == json_type_double) {
        const double number = json_object_get_double(value);
        if (isfinite(number) && number >= 0)
            return json_object_get(value);
    }
    return wrong(item, member->pointer, "number", "must be a number from 0");
}

struct json_object *mw_read_bool(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    return json_object_is_type(value, json_type_boolean)
               ? json_object_get(value)
               : wrong(item, member->pointer, "type", "must be true or false");
}

/* ---- identifiers, lists, places ---------------------------------------------------------*/

struct json_object *mw_read_part(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    return mw_identifier(&item->faults, MW_SPARE_PART, member->pointer, value);
}

struct json_object *mw_read_equipment(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    return mw_identifier(&item->faults, MW_EQUIPMENT, member->pointer, value);
}

static struct json_object *read_list(struct mw_item *item, const struct mw_member *member, struct json_object *value,
                                     enum json_type type, const char *sentence)
{
    const struct mw_call *call = item->faults.call;
    const size_t before = item->faults.said.count;
    if (!json_object_is_type(value, json_type_array))
        return wrong(item, member->pointer, "type", "must be an array");
    for (size_t i = 0; i < json_object_array_length(value); i++) {
        struct json_object *each = json_object_array_get_idx(value, i);
        if (!json_object_is_type(each, type) && (each || call->in))
            wrong(item, call->host->format(call->job, "%s/%zu", member->pointer, i), "type", sentence);
    }
    return item->faults.said.count > before ? NULL : json_object_get(value);
}

struct json_object *mw_read_texts(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    return read_list(item, member, value, json_type_string, "must be a string");
}

struct json_object *mw_read_objects(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    return read_list(item, member, value, json_type_object, "must be an object");
}

struct json_object *mw_read_place(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    static const char *const known[] = {"locationName"};
    struct json_object *name = NULL;
    if (!json_object_is_type(value, json_type_object))
        return wrong(item, member->pointer, "type", "must be an object with locationName");
    const size_t before = item->faults.said.count;
    pl_fault_unknown(&item->faults.said, value, member->pointer, known, PL_COUNT(known));
    const bool there = json_object_object_get_ex(value, known[0], &name);
    if (!name && there && !item->faults.call->in)
        return NULL;
    if (!json_object_is_type(name, json_type_string) || json_object_get_string_len(name) == 0)
        wrong(item, below(item, member->pointer, known[0]), "required", "must be the name of a location");
    return item->faults.said.count > before ? NULL : json_object_get(value);
}

/* ---- money (MW-C13) ---------------------------------------------------------------------*/

struct price {
    const char *currency; /* NULL: not known */
    int64_t amount;
};

/* From the price itself, the target's setting or the network's; NULL after a fault or when nobody knows. */
static const char *currency_of(struct mw_item *item, const char *pointer, struct json_object *price)
{
    struct json_object *given = pl_at(price, "/currency");
    if (given) {
        if (json_object_is_type(given, json_type_string) && mw_is_currency(json_object_get_string(given)))
            return json_object_get_string(given);
        wrong(item, below(item, pointer, "currency"), "currency", "must be an ISO 4217 code such as EUR");
        return NULL;
    }
    item->no_currency = !item->shared->currency;
    return item->shared->currency;
}

static bool read_decimal(struct mw_item *item, const char *pointer, struct json_object *value, struct price *price)
{
    const struct mw_call *call = item->faults.call;
    const int places = price->currency ? mw_minor_unit(price->currency) : 0;
    const enum json_type type = json_object_get_type(value);
    const bool shaped = type == json_type_int || type == json_type_double || type == json_type_string;
    if (shaped && !price->currency)
        return false; /* where the point goes is not known: said by others */
    if (shaped && places != MW_NO_MINOR_UNIT && mw_shift_decimal(json_object_get_string(value), places, &price->amount))
        return true;
    wrong(item, pointer, "price",
          places == MW_NO_MINOR_UNIT
              ? call->host->format(call->job, "cannot be a price: %s has no minor unit", price->currency)
              : call->host->format(call->job, "must be a price such as 35.00, with at most %d decimals%s%s", places,
                                   price->currency ? " in " : "", price->currency ? price->currency : ""));
    return false;
}

/* {"amount": lowest units, "currency"}, {"price": decimal, "currency"}, or the decimal alone. */
static bool read_price(struct mw_item *item, const struct mw_member *member, struct json_object *value,
                       struct price *price)
{
    static const char *const known[] = {"amount", "currency", "price"};
    const size_t before = item->faults.said.count;
    price->currency = currency_of(item, member->pointer, value);
    if (!json_object_is_type(value, json_type_object))
        return read_decimal(item, member->pointer, value, price);
    pl_fault_unknown(&item->faults.said, value, member->pointer, known, PL_COUNT(known));
    struct json_object *amount = NULL, *decimal = NULL;
    const bool has_amount = json_object_object_get_ex(value, "amount", &amount);
    const bool has_decimal = json_object_object_get_ex(value, "price", &decimal);
    const bool unknown = !item->faults.call->in && ((has_amount && !amount) || (has_decimal && !decimal));
    if (has_amount == has_decimal)
        wrong(item, member->pointer, "price", "needs amount (whole, in the lowest unit) or price (decimal)");
    else if (!unknown && has_decimal)
        return read_decimal(item, below(item, member->pointer, "price"), decimal, price) &&
               item->faults.said.count == before;
    else if (!unknown && (!json_object_is_type(amount, json_type_int) ||
                          !mw_shift_decimal(json_object_get_string(amount), 0, &price->amount)))
        wrong(item, below(item, member->pointer, "amount"), "whole_number",
              "must be a whole number of the lowest unit, from 0; a decimal is written as price");
    return !unknown && price->currency && item->faults.said.count == before;
}

struct json_object *mw_read_price(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    struct price price = {0};
    if (!read_price(item, member, value, &price))
        return NULL;
    struct json_object *send = json_object_new_object();
    json_object_object_add(send, "amount", json_object_new_int64(price.amount));
    json_object_object_add(send, "currency", json_object_new_string(price.currency));
    return send;
}

/* ---- the two objects of a new part whose names and members are a guess (U9) -----------------*/

struct place {
    const char *name;
    struct json_object *value; /* borrowed */
};

/* A copy of the template in which strings that are a place's name are its value. gives */
static struct json_object *fill(struct json_object *template, const struct place *places, size_t count)
{
    if (json_object_is_type(template, json_type_object)) {
        struct json_object *object = json_object_new_object();
        json_object_object_foreach(template, name, value)
            json_object_object_add(object, name, fill(value, places, count));
        return object;
    }
    if (json_object_is_type(template, json_type_array)) {
        struct json_object *array = json_object_new_array();
        for (size_t i = 0; i < json_object_array_length(template); i++)
            json_object_array_add(array, fill(json_object_array_get_idx(template, i), places, count));
        return array;
    }
    for (size_t i = 0; i < count && json_object_is_type(template, json_type_string); i++)
        if (strcmp(json_object_get_string(template), places[i].name) == 0)
            return json_object_get(places[i].value);
    return json_object_get(template);
}

struct json_object *mw_read_new_price(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    PL_SCOPED struct json_object *price = mw_read_price(item, member, value);
    const struct place places[] = {{"{amount}", pl_at(price, "/amount")}, {"{currency}", pl_at(price, "/currency")}};
    return price ? fill(item->shared->price_body, places, PL_COUNT(places)) : NULL;
}

/* A quantity goes into the template; an object is sent as it is. */
struct json_object *mw_read_new_stock(struct mw_item *item, const struct mw_member *member, struct json_object *value)
{
    if (json_object_is_type(value, json_type_object))
        return json_object_get(value);
    PL_SCOPED struct json_object *quantity = mw_read_whole(item, member, value);
    const struct place places[] = {{"{quantity}", quantity}};
    return quantity ? fill(item->shared->stock_body, places, PL_COUNT(places)) : NULL;
}

const char *mw_item_options(const struct mw_call *call)
{
    const struct mw_config *config = call->config;
    PL_SCOPED struct json_object *price = pl_parse_text(config->part_price_body);
    PL_SCOPED struct json_object *stock = pl_parse_text(config->part_stock_body);
    if (!json_object_is_type(price, json_type_object))
        return "part_price_body must be a JSON object";
    if (!json_object_is_type(stock, json_type_object))
        return "part_stock_body must be a JSON object";
    if (config->currency && !mw_is_currency(config->currency))
        return "currency must be an ISO 4217 code such as EUR";
    return NULL;
}

/* ---- the item ---------------------------------------------------------------------------*/

static void read_member(struct mw_item *item, const struct mw_member *member)
{
    const struct mw_call *call = item->faults.call;
    const char *name = member->pointer + 1;
    struct json_object *value = NULL, *send = NULL;
    const bool there = json_object_object_get_ex(item->given, name, &value);
    if (member->sent_as)
        name = member->sent_as(call->config);
    if (value)
        send = member->read(item, member, value);
    else if (there && !call->in)
        return; /* a template: not known yet */
    else if (member->flags & MW_REQUIRED)
        wrong(item, member->pointer, "required", "is required");
    else if (there && (member->flags & MW_NOT_NULL))
        wrong(item, member->pointer, "null", "must not be null: it cannot be unset"); /* U11 */
    if (send || (there && !value && (member->flags & MW_UNSETS)))
        json_object_object_add(item->request, name, send);
}

/* Members whose names we do not know (U10), verbatim. */
static void merge_native(struct mw_item *item, const char *const *known, size_t count)
{
    const struct mw_call *call = item->faults.call;
    struct json_object *native = NULL;
    json_object_object_get_ex(item->given, NATIVE, &native);
    if (!native)
        return;
    if (!json_object_is_type(native, json_type_object)) {
        wrong(item, "/" NATIVE, "type", "must be an object, whose members are sent as they are");
        return;
    }
    json_object_object_foreach(native, name, value)
    {
        size_t i = 0;
        while (i < count && strcmp(known[i], name) != 0)
            i++;
        if (i < count || json_object_object_get_ex(item->request, name, NULL))
            wrong(item, call->host->format(call->job, "/" NATIVE "/%s", name), "known_member",
                  "belongs outside of native, where it is checked");
        else
            json_object_object_add(item->request, name, json_object_get(value));
    }
}

static void pass_others(struct mw_item *item, const char *const *known, size_t count)
{
    json_object_object_foreach(item->given, name, value)
    {
        size_t i = 0;
        while (i < count && strcmp(known[i], name) != 0)
            i++;
        if (i == count)
            json_object_object_add(item->request, name, json_object_get(value));
    }
}

void mw_item_read(struct mw_item *item, const struct mw_bulk *bulk)
{
    const char *known[MW_MEMBERS_MAX + 1];
    for (size_t i = 0; i < bulk->member_count; i++)
        known[i] = bulk->members[i].pointer + 1;
    known[bulk->member_count] = NATIVE;
    if (!item->given && !item->faults.call->in)
        return; /* a template: all of it is not known yet */
    if (!json_object_is_type(item->given, json_type_object)) {
        wrong(item, "", item->too_large ? "max_size" : "type",
              item->too_large ? "must not be larger than 64 KiB" : "must be a JSON object, nested 16 deep at most");
        return;
    }
    item->request = json_object_new_object();
    for (size_t i = 0; i < bulk->member_count; i++)
        read_member(item, &bulk->members[i]);
    if (bulk->open_ended)
        pass_others(item, known, bulk->member_count + 1);
    else
        pl_fault_unknown(&item->faults.said, item->given, "", known, bulk->member_count + 1);
    merge_native(item, known, bulk->member_count);
}

void mw_items_start(struct mw_items *items, const struct mw_call *call)
{
    const struct mw_config *config = call->config;
    const char *network = call->in ? call->host->note_get(call->job, MW_NOTE_CURRENCY) : NULL;
    *items = (struct mw_items){.call = call,
                               .parser = pl_parser(ITEM_DEPTH_MAX),
                               .price_body = pl_parse_text(config->part_price_body),
                               .stock_body = pl_parse_text(config->part_stock_body),
                               .currency = config->currency                     ? config->currency
                                           : network && mw_is_currency(network) ? network
                                                                                : NULL};
}

void mw_items_finish(struct mw_items *items)
{
    json_tokener_free(items->parser);
    pl_put(&items->price_body);
    pl_put(&items->stock_body);
}

void mw_item_start(struct mw_item *item, const struct mw_items *items, struct bb_str body)
{
    *item = (struct mw_item){.shared = items, .faults = mw_no_faults(items->call)};
    item->too_large = body.len > ITEM_BYTES_MAX;
    if (!item->too_large)
        item->given = pl_parse_with(items->parser, body);
}

void mw_item_finish(struct mw_item *item)
{
    pl_put(&item->given);
    pl_put(&item->request);
}
