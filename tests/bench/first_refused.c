/* R1's experiment, from the client's side: a new idempotent producer sends several requests at
 * once.
 *
 *     first_refused [-X NAME=VALUE]… BOOTSTRAP TOPIC REQUESTS RECORDS
 *
 * It produces RECORDS a request to partition 0, record n having the text n as its value, up to five
 * requests in flight (-X max.in.flight=1 for one), and reports each record's delivery as a line of
 * JSON: what librdkafka told its user. The proxy of tests/broker/test_first_refused.py decides what
 * the broker sees of it. The last line has the library's version and its fatal error, if any. */
#include <librdkafka/rdkafka.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FLUSH_MS = 30000, EXTRAS_MAX = 16, NUMBER_MAX = 1000 };

static _Noreturn void give_up(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[512];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        give_up(name, text);
    }
}

static void set_extra(rd_kafka_conf_t *conf, const char *extra)
{
    const char *equals = strchr(extra, '=');
    char name[128];

    if (equals == NULL) {
        give_up(extra, "no '='");
    }
    snprintf(name, sizeof(name), "%.*s", (int)(equals - extra), extra);
    set(conf, name, equals + 1);
}

static void report(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client;
    (void)opaque;
    printf("{\"record\": %.*s, \"error\": \"%s\", \"offset\": %" PRId64 ", \"status\": %d}\n",
           (int)message->len, (const char *)message->payload, rd_kafka_err2name(message->err),
           message->offset, (int)rd_kafka_message_status(message));
}

static rd_kafka_t *make(const char *bootstrap, int records, char *const *extras, size_t count)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *client;
    char text[512];
    char number[16];

    snprintf(number, sizeof(number), "%d", records);
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "client.id", "first-refused");
    set(conf, "enable.idempotence", "true");
    set(conf, "acks", "all");
    set(conf, "max.in.flight", "5");
    set(conf, "batch.num.messages", number);
    set(conf, "linger.ms", "200"); /* all records are there before the first request is made */
    for (size_t i = 0; i < count; i++) {
        set_extra(conf, extras[i]);
    }
    rd_kafka_conf_set_dr_msg_cb(conf, report);
    client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (client == NULL) {
        give_up("rd_kafka_new", text);
    }
    return client;
}

static void produce(rd_kafka_t *client, const char *topic, int count)
{
    for (int i = 0; i < count; i++) {
        char value[16];
        int size = snprintf(value, sizeof(value), "%d", i);
        const rd_kafka_vu_t fields[] = {
            {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
            {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = 0},
            {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {.ptr = value, .size = (size_t)size}},
            {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        };
        rd_kafka_error_t *error =
            rd_kafka_produceva(client, fields, sizeof(fields) / sizeof(fields[0]));

        if (error != NULL) {
            give_up("produce", rd_kafka_error_string(error));
        }
    }
}

/* 0 when it isn't one in reason. */
static int number_of(const char *text)
{
    long number = strtol(text, NULL, 10);

    return number < 1 || number > NUMBER_MAX ? 0 : (int)number;
}

int main(int argc, char **argv)
{
    char *extras[EXTRAS_MAX];
    size_t extra_count = 0;
    char text[512] = "";
    rd_kafka_t *client;
    rd_kafka_resp_err_t flushed;
    int at = 1;
    int requests = 0;
    int records = 0;

    while (at + 1 < argc && strcmp(argv[at], "-X") == 0 && extra_count < EXTRAS_MAX) {
        extras[extra_count++] = argv[at + 1];
        at += 2;
    }
    if (argc - at == 4) {
        requests = number_of(argv[at + 2]);
        records = number_of(argv[at + 3]);
    }
    if (requests == 0 || records == 0) {
        fprintf(stderr,
                "usage: first_refused [-X NAME=VALUE]... BOOTSTRAP TOPIC REQUESTS RECORDS\n");
        return 64;
    }
    client = make(argv[at], records, extras, extra_count);
    produce(client, argv[at + 1], requests * records);
    flushed = rd_kafka_flush(client, FLUSH_MS);
    rd_kafka_fatal_error(client, text, sizeof(text));
    printf("{\"librdkafka\": \"%s\", \"flush\": \"%s\", \"fatal\": \"%s\"}\n",
           rd_kafka_version_str(), rd_kafka_err2name(flushed), text);
    rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_destroy(client);
    return 0;
}
