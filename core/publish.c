/* SPDX-License-Identifier: Apache-2.0 */
/* The bus as a target: events and records are published at QoS 1 and settled by their PUBACK. An
 * attempt is not counted beforehand: there is no plugin to crash in, and an event that goes out twice
 * has the same id.
 *
 * PUBACKs trickle in, and a transaction costs the same for one as for many. So they join the turn's, and begin
 * one of their own only when they are many or have waited.
 *
 * There are brokers that end the link for a publication that they do not take. Sent again with each new link it would
 * keep all others from the bus, for ever. So it is counted what was on its way when the link went; a suspect is sent
 * alone, which tells it from what was only near. In memory: after a restart the same is found again. */
#include "backoff.h"
#include "digest.h"
#include "dispatch_private.h"
#include "json.h"
#include "log.h"
#include "mqtt.h"

#include <stdlib.h>
#include <string.h>

#define PUBLISHING_MAX 1024
#define COMPLETIONS_A_TURN 256
#define REFUSED_FIRST_MS 1000
#define REFUSED_MAX_MS 60000
#define ACKS_MANY 64
#define ACKS_WAIT_MS 5
#define UNSENT_PAUSE_MS 1000
/* What was on its way when the link went, twice: it goes alone from now on, */
#define LOSSES_OF_A_SUSPECT 2
/* after what others have to send on a new link, */
#define OTHERS_FIRST_MS 1000
/* and is a dead letter when that ends the link again, in so short a time, so many times in a row; at once when the
 * broker says that it is for what it was sent. */
#define PROMPT_MS 2000
#define LONE_LOSSES_MAX 3

static void release_slot(struct dispatch *d, size_t at)
{
    d->publishing[at] = (struct publishing){0};
    d->publishing_open--;
}

/* What the broker refused, it would refuse again at once. */
static void give_back(struct dispatch *d, size_t at, int reason)
{
    struct queue_entry *entry = d->publishing[at].entry;
    int64_t delay_ms = backoff_delay_ms(REFUSED_FIRST_MS, REFUSED_MAX_MS, ++entry->attempts, random_unit());
    cleanup_text char *code = mem_printf("%d", reason);
    log_warn("the broker refuses what we publish: it is kept and tried again", "reason_code", code, NULL);
    queue_return(d->bus->out.queue, entry, d->now_ms + delay_ms);
    release_slot(d, at);
}

static void note_done(struct dispatch *d, size_t at)
{
    if (d->acked_count == 0)
        d->acked_since_ms = d->now_ms;
    d->acked = mem_grow(d->acked, &d->acked_cap, d->acked_count + 1, sizeof(d->acked[0]));
    d->acked[d->acked_count++] = at;
}

/* Whether the link went for it. A broker that dies, or a network that does, ends the link at any time; it takes
 * something else to do so three times just after this one, and only then. */
static bool is_to_blame(const struct dispatch *d, struct queue_entry *entry, int reason)
{
    bool prompt = d->now_ms - d->suspect_sent_ms <= PROMPT_MS;
    enum mqtt_blame blame = mqtt_blame(reason);
    if (blame == MQTT_BLAMES)
        return true;
    entry->lone_losses = blame == MQTT_MAY_BLAME && prompt ? entry->lone_losses + 1 : 0;
    return entry->lone_losses >= LONE_LOSSES_MAX;
}

struct refusal {
    struct dispatch *d;
    int reason;
};

/* An alert about an alert would be refused as well, and so on. */
static void tell_refused(void *context, const struct delivery *delivery)
{
    const struct refusal *refusal = context;
    cleanup_text char *alerts = mem_printf("%s/alerts", refusal->d->options.config->bus.prefix);
    log_error("dead letter: the broker ends the link when it is sent this", "delivery", delivery->id, "topic",
              delivery->topic, "reason", mqtt_reason_text(refusal->reason), NULL);
    if (strcmp(delivery->topic, alerts) != 0)
        dispatch_alert(refusal->d, "broker_refuses", refusal->d->bus->name, NULL,
                       "the broker ended the link each time it was sent one publication, which is a dead letter now");
}

/* What the link took with it goes out with the next one, most often. */
static void lose(struct dispatch *d, size_t at, bool alone, int reason)
{
    struct publishing *publishing = &d->publishing[at];
    struct queue_entry *entry = publishing->entry;
    if (mqtt_blame(reason) != MQTT_BLAMES_OTHER)
        entry->losses++;
    if (!alone || !is_to_blame(d, entry, reason)) {
        queue_return(d->bus->out.queue, entry, d->now_ms);
        release_slot(d, at);
        return;
    }
    publishing->refused = true;
    publishing->reason = reason;
    store_get_work(d->options.session, entry->seq, tell_refused, &(struct refusal){d, reason});
    note_done(d, at);
    mqtt_hurry(d->mqtt); /* the link is not what failed */
}

static void collect(struct dispatch *d)
{
    struct mqtt_completion done[COMPLETIONS_A_TURN];
    size_t count = mqtt_collect(d->mqtt, done, COMPLETIONS_A_TURN);
    for (size_t i = 0; i < count; i++) {
        size_t at = (size_t)done[i].token;
        if (at >= d->publishing_count || d->publishing[at].entry == NULL)
            continue;
        bool alone = d->suspect == d->publishing[at].entry;
        if (alone)
            d->suspect = NULL;
        if (done[i].acked)
            note_done(d, at);
        else if (done[i].lost)
            lose(d, at, alone, done[i].reason);
        else
            give_back(d, at, done[i].reason);
        d->link_up = d->link_up && !done[i].lost;
    }
}

struct publish_context {
    struct dispatch *d;
    size_t at;
    bool sent;
};

/* A command to a Sparkplug edge node: the specification wants it so. */
static bool is_to_edge_node(const char *topic)
{
    return strncmp(topic, "spBv1.0/", 8) == 0;
}

/* What it is stands at its beginning: event_print begins so, records and alerts do not. */
static const char *content_type_of(struct span payload)
{
    const struct span event = SPAN("{\"specversion\":");
    bool cloud_event = payload.len > event.len && memcmp(payload.data, event.data, event.len) == 0;
    return cloud_event ? "application/cloudevents+json" : "application/json";
}

/* An answer carries the correlation data of its command. */
static void read_correlation(const char *reply, struct buf *out)
{
    cleanup_json struct json_object *json = json_parse(span_of(reply), NULL, NULL);
    const char *correlation = json_get_text(json, "correlation");
    if (correlation != NULL)
        digest_base64_decode(span_of(correlation), out);
}

static void publish_one(void *context, const struct delivery *delivery)
{
    struct publish_context *publish = context;
    bool to_node = is_to_edge_node(delivery->topic);
    cleanup_buf struct buf correlation = {0};
    if (delivery->reply != NULL)
        read_correlation(delivery->reply, &correlation);
    const struct mqtt_publication publication = {.topic = delivery->topic,
                                                 .payload = delivery->body,
                                                 .retained = delivery->retained,
                                                 .at_most_once = to_node,
                                                 .content_type = to_node ? NULL : content_type_of(delivery->body),
                                                 .correlation = buf_span(&correlation)};
    if (mqtt_takes(publish->d->mqtt, &publication)) {
        publish->sent = mqtt_publish(publish->d->mqtt, &publication, publish->at) == 0;
        return;
    }
    log_error("dead letter: the broker takes no packet of this size", "delivery", delivery->id, "topic",
              delivery->topic, NULL);
    publish->d->publishing[publish->at].too_large = true;
}

static size_t free_place(struct dispatch *d)
{
    if (d->publishing == NULL) {
        d->publishing_count = PUBLISHING_MAX;
        d->publishing = mem_alloc(PUBLISHING_MAX * sizeof(d->publishing[0]));
    }
    for (size_t i = 0; i < d->publishing_count; i++) {
        size_t at = (d->publishing_hint + i) % d->publishing_count;
        if (d->publishing[at].entry == NULL) {
            d->publishing_hint = at + 1;
            return at;
        }
    }
    return SIZE_MAX;
}

static int64_t acks_due_ms(const struct dispatch *d)
{
    return d->acked_count > 0 ? d->acked_since_ms + ACKS_WAIT_MS : INT64_MAX;
}

/* Answers false when that is no time to send more. */
static bool send_one(struct dispatch *d, struct queue_entry *entry, size_t at)
{
    struct publish_context publish = {d, at, false};
    d->publishing[at].entry = entry; /* before the call: the completion may come at once */
    d->publishing_open++;
    store_get_work(d->options.session, entry->seq, publish_one, &publish);
    if (publish.sent)
        return true;
    if (d->suspect == entry)
        d->suspect = NULL;
    if (d->publishing[at].too_large) {
        note_done(d, at);
        return true;
    }
    release_slot(d, at); /* the link's matter or the disk's, most often: the others need not try it each */
    queue_return(d->bus->out.queue, entry, d->now_ms + UNSENT_PAUSE_MS);
    d->publish_pause_until_ms = d->now_ms + UNSENT_PAUSE_MS;
    return false;
}

/* Alone: nothing else is on its way, and while it is nothing else is sent. */
static void send_suspect(struct dispatch *d)
{
    size_t at = free_place(d);
    if (d->suspect_sent || at == SIZE_MAX)
        return;
    if (!d->link_up) {
        queue_return(d->bus->out.queue, d->suspect, d->now_ms);
        d->suspect = NULL;
    } else if (mqtt_is_idle(d->mqtt)) {
        d->suspect_sent = true;
        d->suspect_sent_ms = d->now_ms;
        send_one(d, d->suspect, at);
    }
}

static void note_link(struct dispatch *d)
{
    bool up = mqtt_state(d->mqtt) == MQTT_READY;
    if (up && !d->link_up)
        d->link_since_ms = d->now_ms;
    d->link_up = up;
}

static void take_suspect(struct dispatch *d, struct queue_entry *entry)
{
    int64_t turn_ms = d->link_since_ms + OTHERS_FIRST_MS;
    if (d->now_ms < turn_ms) {
        queue_return(d->bus->out.queue, entry, turn_ms);
        return;
    }
    d->suspect = entry;
    d->suspect_sent = false;
}

bool publish_pick(struct dispatch *d)
{
    if (d->mqtt == NULL)
        return false;
    collect(d);
    note_link(d);
    while (d->suspect == NULL && d->now_ms >= d->publish_pause_until_ms && d->link_up && mqtt_can_publish(d->mqtt)) {
        size_t at = free_place(d);
        struct queue_entry *entry = at == SIZE_MAX ? NULL : queue_take(d->bus->out.queue, d->now_ms, NULL, NULL);
        if (entry == NULL)
            break;
        if (entry->losses >= LOSSES_OF_A_SUSPECT)
            take_suspect(d, entry);
        else if (!send_one(d, entry, at))
            break;
    }
    if (d->suspect != NULL)
        send_suspect(d);
    return d->acked_count >= ACKS_MANY || acks_due_ms(d) <= d->now_ms;
}

void publish_go(struct dispatch *d, bool stored)
{
    if (!stored)
        return; /* the acks are kept for the next turn */
    for (size_t i = 0; i < d->acked_count; i++) {
        struct queue_entry *entry = d->publishing[d->acked[i]].entry;
        bool dead = d->publishing[d->acked[i]].too_large || d->publishing[d->acked[i]].refused;
        metric_observe(d->bus->seconds, (double)(d->wall_ms - entry->accepted_ms) / 1000.0);
        count_moved(entry->route, d->bus->name, DELIVERY_PENDING, dead ? DELIVERY_REJECTED : DELIVERY_DELIVERED);
        queue_remove(d->bus->out.queue, entry);
        release_slot(d, d->acked[i]);
    }
    d->acked_count = 0;
}

int64_t publish_next_due(const struct dispatch *d)
{
    int64_t acks = acks_due_ms(d), next = INT64_MAX;
    if (d->mqtt != NULL && d->suspect == NULL && mqtt_state(d->mqtt) == MQTT_READY && mqtt_can_publish(d->mqtt))
        next = queue_next_due(d->bus->out.queue);
    if (next < d->publish_pause_until_ms)
        next = d->publish_pause_until_ms;
    return acks < next ? acks : next;
}
