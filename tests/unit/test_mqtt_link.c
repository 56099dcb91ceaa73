/* SPDX-License-Identifier: Apache-2.0 */
/* core/mqtt.h against a real mosquitto: links, sessions, failures, TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log.h"
#include "metrics.h"
#include "mqtt_bus.h"

static void test_mqtt_session_keeps_messages_while_away(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = ready(bus_new(broker.url, "away", "in/#"));
    assert_int_equal(bus->sessions_new, 1);
    struct bus *peer = ready(bus_new(broker.url, "away-peer", NULL));
    mqtt_drop(bus->mqtt);
    publish(peer, "in/1", "1", false);
    await(bus, bus->flushed == 1);
    assert_int_equal(bus->sessions_resumed, 1);
    await(bus, bus_ready(bus));
    bus_free(bus);
    bus_free(peer);
}

static void test_mqtt_broker_restart_is_survived(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = ready(bus_new(broker.url, "restart", "in/#"));
    broker_kill(&broker, SIGTERM);
    await(bus, mqtt_last_error(bus->mqtt)[0] != '\0');
    assert_false(mqtt_can_publish(bus->mqtt));
    assert_true(metric_value(metric_get(metric_family(METRIC_GAUGE, "busbar_bus_connected", "", ""))) == 0);
    broker_run(&broker);
    await(bus, bus_ready(bus));
    publish(bus, "in/1", "1", false);
    await(bus, bus->flushed == 1);
    assert_string_equal(mqtt_last_error(bus->mqtt), "");
    bus_free(bus);
}

/* The session went with the broker's memory: subscribed again, and told so. */
static void test_mqtt_lost_session_is_told(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = ready(bus_new(broker.url, "lost", "in/#"));
    broker_kill(&broker, SIGKILL); /* without saving */
    await(bus, mqtt_state(bus->mqtt) < MQTT_SUBSCRIBING);
    broker_run(&broker);
    await(bus, bus_ready(bus));
    assert_int_equal(bus->sessions_new, 2);
    publish(bus, "in/1", "1", false);
    await(bus, bus->flushed == 1);
    bus_free(bus);
}

static void test_mqtt_publishes_in_flight_complete_once_when_the_link_goes(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = ready(bus_new(broker.url, "inflight", "in/#"));
    char saved[96];
    snprintf(saved, sizeof(saved), "%s/mosquitto.db", broker.dir);
    kill(broker.pid, SIGUSR1); /* saves the session, which so survives the SIGKILL below */
    await(bus, access(saved, R_OK) == 0);
    kill(broker.pid, SIGSTOP);
    size_t sent = 0;
    for (; mqtt_can_publish(bus->mqtt); sent++)
        assert_int_equal(
            mqtt_publish(bus->mqtt,
                         &(struct mqtt_publication){.topic = "in/x", .payload = SPAN("7"), .retained = false}, sent),
            0);
    assert_int_equal(sent, 19); /* strictly below mosquitto's 20 */
    assert_int_equal(mqtt_publish(bus->mqtt,
                                  &(struct mqtt_publication){.topic = "in/x", .payload = SPAN("7"), .retained = false},
                                  sent),
                     -1);
    mqtt_drop(bus->mqtt);
    await(bus, bus->failed == sent);
    broker_kill(&broker, SIGKILL);
    broker_run(&broker);
    await(bus, bus_ready(bus));
    assert_int_equal(bus->sessions_resumed, 1);
    publish(bus, "in/x", "8", false); /* Paho has sent nothing again on its own */
    await(bus, bus->flushed == 1);
    assert_string_equal(bus->last.payload, "8");
    assert_int_equal(bus->failed, sent);
    assert_int_equal(bus->messages, 1);
    for (size_t i = 0; i < sent; i++)
        assert_int_equal(bus->tokens[i], 1);
    bus_free(bus);
}

/* Paho closes after a DISCONNECT and does not call that a lost connection. */
static void test_mqtt_a_broker_that_disconnects_us_is_come_back_to(void **state)
{
    (void)state;
    needs_broker();
    static char large[4096];
    memset(large, 'x', sizeof(large));
    restart_with("max_packet_size 1024");
    struct bus *bus = ready(bus_new(broker.url, "thrown-out", "in/#"));
    const struct mqtt_publication small = {.topic = "in/x", .payload = SPAN("7")},
                                  too_large = {.topic = "in/x", .payload = {large, sizeof(large)}};
    assert_true(mqtt_takes(bus->mqtt, &small));
    assert_false(mqtt_takes(bus->mqtt, &too_large));
    assert_int_equal(mqtt_publish(bus->mqtt, &too_large, 1), 0);
    await(bus, bus->failed == 1 && bus->sessions_resumed == 1 && bus_ready(bus));
    publish(bus, "in/x", "8", false);
    await(bus, bus->flushed == 1);
    assert_int_equal(bus->tokens[1], 1);
    bus_free(bus);

    restart_with(NULL); /* no limit is told */
    bus = ready(bus_new(broker.url, "let-in", "in/#"));
    assert_true(mqtt_takes(bus->mqtt, &too_large));
    bus_free(bus);
}

static void test_mqtt_silent_link_is_dropped(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = ready(bus_new(broker.url, "silent", "in/#"));
    mqtt_tick(bus->mqtt, clock_steady_ms());
    mqtt_tick(bus->mqtt, clock_steady_ms() + 2 * bus->options.keep_alive_ms + 6000);
    await(bus, mqtt_state(bus->mqtt) == MQTT_DOWN || bus->sessions_resumed > 0);
    await(bus, bus->sessions_resumed > 0);
    bus_free(bus);
}

static void test_mqtt_next_url_is_tried_at_once(void **state)
{
    (void)state;
    needs_broker();
    struct bus *peer = ready(bus_new(broker.url, "failover-peer", NULL)); /* the broker is there */
    char dead[64];
    snprintf(dead, sizeof(dead), "mqtt://127.0.0.1:%d", broker_free_port());
    struct bus *bus = bus_new(dead, "failover", "in/#");
    bus->urls[1] = broker.url;
    bus->options.url_count = 2;
    bus->options.reconnect_first_ms = bus->options.reconnect_max_ms = 3600000; /* not waited for */
    ready(bus);
    bus_free(bus);
    bus_free(peer);
}

static void test_mqtt_create_refuses_mixed_and_unknown_urls(void **state)
{
    (void)state;
    char *error = NULL;
    struct bus *bus = bus_new("mqtt://a", "bad", NULL);
    bus->urls[1] = "mqtts://b";
    bus->options.url_count = 2;
    assert_null(mqtt_create(&bus->options, &(struct mqtt_handler){0}, &error));
    assert_string_equal(error, "the broker URLs must be all mqtt:// or all mqtts://");
    free(error);
    bus->urls[1] = "http://b";
    assert_null(mqtt_create(&bus->options, &(struct mqtt_handler){0}, &error));
    assert_string_equal(error, "http://b is no mqtt:// or mqtts:// URL");
    free(error);
    bus_free(bus);
}

static void test_mqtt_refused_subscription_is_loud_and_not_ready(void **state)
{
    (void)state;
    needs_broker();
    char extra[256], path[96];
    snprintf(path, sizeof(path), "%s/security.json", broker.dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "{\"defaultACLAccess\":{\"publishClientSend\":true,\"publishClientReceive\":true,"
                  "\"subscribe\":false,\"unsubscribe\":true},\"clients\":[],\"groups\":[],\"roles\":[]}");
    fclose(file);
    snprintf(extra, sizeof(extra),
             "plugin /usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so\nplugin_opt_config_file %s", path);
    if (access("/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so", R_OK) != 0)
        skip();
    restart_with(extra);
    struct bus *bus = bus_new(broker.url, "refused", "secret/#");
    bus_open(bus);
    await(bus, mqtt_last_error(bus->mqtt)[0] == 's');
    assert_string_equal(mqtt_last_error(bus->mqtt), "subscription to secret/# refused: Not authorized");
    assert_int_equal(mqtt_state(bus->mqtt), MQTT_SUBSCRIBING);
    bus_free(bus);
}

static void test_mqtt_granted_qos0_is_not_ready(void **state)
{
    (void)state;
    needs_broker();
    restart_with("max_qos 0");
    struct bus *bus = bus_new(broker.url, "qos0-only", "in/#");
    bus_open(bus);
    await(bus, strstr(mqtt_last_error(bus->mqtt), "QoS 0 was granted") != NULL);
    assert_int_equal(mqtt_state(bus->mqtt), MQTT_SUBSCRIBING);
    bus_free(bus);
}

static void test_mqtt_bad_password_is_named(void **state)
{
    (void)state;
    needs_broker();
    restart_with("allow_anonymous false");
    struct bus *bus = bus_new(broker.url, "stranger", "in/#");
    bus_open(bus);
    await(bus, strstr(mqtt_last_error(bus->mqtt), "refused: Not authorized") != NULL);
    bus_free(bus);
    bus = bus_new(broker.url, "stranger", "in/#");
    bus->options.version = 3;
    bus_open(bus);
    await(bus, strstr(mqtt_last_error(bus->mqtt), "refused: not authorized") != NULL);
    bus_free(bus);
}

static void test_mqtt_birth_and_farewell_are_retained(void **state)
{
    (void)state;
    needs_broker();
    struct bus *bus = bus_new(broker.url, "life", NULL);
    bus->options.will_topic = "status/me";
    bus->options.will_payload = SPAN("offline");
    bus->options.birth_payload = SPAN("online");
    ready(bus);
    struct bus *peer = ready(bus_new(broker.url, "life-peer", "status/#"));
    await(peer, strcmp(peer->last.payload, "online") == 0);
    mqtt_drop(bus->mqtt); /* not said goodbye: the will, then the birth again */
    await(peer, strcmp(peer->last.payload, "offline") == 0);
    await(bus, bus_ready(bus));
    await(peer, strcmp(peer->last.payload, "online") == 0);
    bus_close(bus, "stopped");
    await(peer, strcmp(peer->last.payload, "stopped") == 0);
    bus_free(bus);
    bus_close(peer, NULL);
    bus_free(peer);
    peer = ready(bus_new(broker.url, "life-late", "status/#"));
    await(peer, strcmp(peer->last.payload, "stopped") == 0 && peer->last.retained);
    bus_free(peer);
}

/* ---- TLS */

static void run(const char *format, ...)
{
    char command[900], line[1100];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    snprintf(line, sizeof(line), "cd %.64s && (%.900s) >/dev/null 2>&1", broker.dir, command);
    assert_int_equal(system(line), 0);
}

static void make_ca(const char *name)
{
    run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=%s -keyout %s.key -out "
        "%s.pem",
        name, name, name);
}

static void make_certificate(const char *name, const char *san)
{
    run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=%s -keyout %s.key -out %s.csr", name,
        name, name);
    run("printf 'subjectAltName=%s\\n' > ext && openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.key -CAcreateserial "
        "-days 2 -extfile ext -out %s.pem",
        san, name, name);
}

static void test_mqtt_tls_verifies_both_ends(void **state)
{
    (void)state;
    needs_broker();
    make_ca("ca");
    make_ca("other");
    make_certificate("server", "DNS:localhost");
    make_certificate("client", "DNS:client");
    char extra[512], url[64], ca[96], other[96], cert[96], key[96], ip_url[64];
    snprintf(extra, sizeof(extra),
             "cafile %s/ca.pem\ncertfile %s/server.pem\nkeyfile %s/server.key\n"
             "require_certificate true\nmax_inflight_messages 1000",
             broker.dir, broker.dir, broker.dir);
    snprintf(url, sizeof(url), "mqtts://localhost:%d", broker.port);
    snprintf(ip_url, sizeof(ip_url), "mqtts://127.0.0.1:%d", broker.port);
    snprintf(ca, sizeof(ca), "%s/ca.pem", broker.dir);
    snprintf(other, sizeof(other), "%s/other.pem", broker.dir);
    snprintf(cert, sizeof(cert), "%s/client.pem", broker.dir);
    snprintf(key, sizeof(key), "%s/client.key", broker.dir);
    restart_with(extra);

    struct bus *bus = bus_new(url, "tls", "in/#");
    bus->options.tls_ca = ca;
    bus->options.tls_cert = cert;
    bus->options.tls_key = key;
    ready(bus);
    publish_numbers(bus, NULL, "in/x", 3000); /* acknowledgements do not hang behind what OpenSSL buffers */
    await(bus, bus->flushed >= 3000);
    assert_int_equal(bus_missing(bus, 3000), 0);
    mqtt_drop(bus->mqtt);
    await(bus, bus->sessions_resumed == 1 && bus_ready(bus));
    bus_close(bus, NULL);

    bus->options.tls_ca = other;
    bus_open(bus);
    await(bus, strstr(mqtt_last_error(bus->mqtt), "certificate verify failed") != NULL);
    bus_close(bus, NULL);

    bus->options.tls_ca = NULL; /* the system's know no such authority */
    bus_open(bus);
    await(bus, strstr(mqtt_last_error(bus->mqtt), "certificate verify failed") != NULL);
    bus_close(bus, NULL);

    bus->options.tls_ca = ca; /* the right authority, the wrong name */
    bus->urls[0] = ip_url;
    bus_open(bus);
    await(bus, mqtt_last_error(bus->mqtt)[0] != '\0');
    assert_int_equal(bus->sessions_resumed, 1);
    bus_free(bus);
}

int main(void)
{
    log_open(false, getenv("TEST_LOG") != NULL ? LOG_DEBUG : LOG_ERROR);
    const struct CMUnitTest tests[] = {
        test(test_mqtt_session_keeps_messages_while_away),
        test(test_mqtt_broker_restart_is_survived),
        test(test_mqtt_lost_session_is_told),
        test(test_mqtt_publishes_in_flight_complete_once_when_the_link_goes),
        test(test_mqtt_a_broker_that_disconnects_us_is_come_back_to),
        test(test_mqtt_silent_link_is_dropped),
        test(test_mqtt_next_url_is_tried_at_once),
        cmocka_unit_test(test_mqtt_create_refuses_mixed_and_unknown_urls),
        test(test_mqtt_refused_subscription_is_loud_and_not_ready),
        test(test_mqtt_granted_qos0_is_not_ready),
        test(test_mqtt_bad_password_is_named),
        test(test_mqtt_birth_and_farewell_are_retained),
        test(test_mqtt_tls_verifies_both_ends),
    };
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests_name("mqtt_link", tests, NULL, NULL);
}
