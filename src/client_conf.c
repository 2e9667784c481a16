/* The settings of a client handle, in layers, later ones win.
 *
 *     ours for every handle → ours for the purpose → sizes from memory.max.bytes → the user's
 *     → what the protocol fixes
 *
 * The user's settings were checked by config.c; what breaks the protocol is refused there and fixed
 * here once more. */
#include "client_conf.h"

#include "mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNKNOWN_PARTITIONS = 8,
    KIB = 1024,
    FETCH_KIB_MIN = 32, /* of one partition in one answer; each answer costs the broker, too */
    FETCH_KIB_MAX = 512,
    ANSWER_KIB_MAX = 1024,
    RECORD_COST = 512, /* what librdkafka keeps beside a record's bytes */
    SOCKET_TIMEOUT_MS_MAX = 300000,
    SOCKET_TIMEOUT_MS_MIN = 1000,
};

#define IN_FLIGHT "max.in.flight.requests.per.connection"

struct setting {
    const char *name;
    const char *value;
};

static const struct setting FOR_ALL[] = {
    {"allow.auto.create.topics", "false"},
    {"enable.metrics.push", "false"},
    {"log.thread.name", "false"},
    {"log.connection.close", "true"},
    {"reconnect.backoff.ms", "100"},
    {"reconnect.backoff.max.ms", "1000"}, /* a broker that comes back is noticed soon */
    {"socket.keepalive.enable", "true"},
    {"socket.nagle.disable", "true"},
    {NULL, NULL},
};

static const struct setting FOR_CONSUMERS[] = {
    {"check.crcs", "true"},
    {"fetch.queue.backoff.ms", "1"}, /* a full queue must not cost a second */
    {"fetch.wait.max.ms", CLIENT_FETCH_WAIT_MS},
    /* Bounds what a batch of records may be inflated to; a large one from the broker must not be
     * refused. */
    {"receive.message.max.bytes", "1000000000"},
    {NULL, NULL},
};

static const struct setting FOR_SINK[] = {
    {"batch.num.messages", "100000"},
    {"linger.ms", "5"},
    {"queue.buffering.max.kbytes", "2147483647"},
    {"queue.buffering.max.messages", "10000000"},
    /* A request's buffer is allocated for copies of so much of each queued record, sent with it or
     * not: with librdkafka's 65535 that is the whole queue once more, and holes in the heap. */
    {"message.copy.max.bytes", "4096"},
    {NULL, NULL},
};

static const struct setting FIXED_FOR_CONSUMERS[] = {
    {"auto.offset.reset", "error"},
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"enable.partition.eof", "true"},
    {NULL, NULL},
};

static const struct setting FIXED_FOR_OUTPUT[] = {
    {"client.rack", ""}, /* the leader only: a follower may lag (R4) */
    {NULL, NULL},
};

static const struct setting FIXED_FOR_SINK[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    /* The broker decides what is too large, after compression; a smaller value here would refuse by
     * itself. */
    {"message.max.bytes", "1000000000"},
    {NULL, NULL},
};

/* What is not yet acknowledged must never be given up; in a transaction it ends with that one.
 *
 * R1: a leader that doesn't know the producer takes any first sequence, so of a partition's first
 * requests one that was refused can be skipped. So a partition has one on its way. The patched
 * library sees to that, and lets five go out at once, of as many partitions, while a batch's last
 * records are waited for; with any other a connection has one.
 *
 * Transactions don't close that. Kafka (3.6 on) verifies a producer's first request in a
 * transaction and refuses sequences above the lowest one that it has verified
 * (VerificationStateEntry), but a request refused before that, by a broker that isn't the leader
 * yet, leaves no trace; that the first sequence must be 0 (ProducerAppendInfo) is asked of clients
 * with transactions v2 only, which librdkafka isn't. But such a record is acknowledged without an
 * offset, which breaks the sink, and in a transaction nothing is committed then. So there users may
 * allow up to 5; without, what came through is visible at once. 1 is the default there: librdkafka
 * never has two requests of a partition of any size on their way, so 5 are no faster (tests/bench,
 * three partitions on one broker), and cost more CPU, for smaller requests. */
static const struct setting FIXED_WITHOUT_TRANSACTIONS[] = {
#ifndef ONCESINK_RDKAFKA_ONE_REQUEST
    {IN_FLIGHT, "1"},
#endif
    {"enable.gapless.guarantee", "true"},
    {"message.timeout.ms", "0"},
    {NULL, NULL},
};

static bool set_one(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
    char text[512];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        return err_set(err, ERR_SETTINGS, 0, "setting %s: %s", name, text);
    }
    return true;
}

static bool set_all(rd_kafka_conf_t *conf, const struct setting *settings, struct err *err)
{
    for (; settings->name != NULL; settings++) {
        if (!set_one(conf, settings->name, settings->value, err)) {
            return false;
        }
    }
    return true;
}

static bool set_number(rd_kafka_conf_t *conf, const char *name, int64_t value, struct err *err)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRId64, value);
    return set_one(conf, name, text, err);
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

struct client_fetch client_fetch_sizes(const struct config *config, uint32_t partitions)
{
    int64_t all = config->memory_max_bytes / 4;
    int64_t share = all / (int64_t)(partitions > 0 ? partitions : UNKNOWN_PARTITIONS);

    return (struct client_fetch){
        .all = all + all / 2,
        .part = clamp(share / 8, FETCH_KIB_MIN * KIB, FETCH_KIB_MAX * KIB),
        .queue = clamp(share / 2, FETCH_KIB_MIN * KIB, all > 0 ? all : FETCH_KIB_MIN * KIB),
        .answer = clamp(all / 2, FETCH_KIB_MIN * KIB,
                        clamp(all / 8, ANSWER_KIB_MAX * KIB, 2 * ANSWER_KIB_MAX * KIB)),
    };
}

/* Records cost more than their bytes, so their number is bounded too; a partition stops fetching at
 * either bound and goes over it by one answer. An answer stays in memory until the last of its
 * records is acknowledged. */
static bool set_consumer_sizes(rd_kafka_conf_t *conf, const struct config *config,
                               uint32_t partitions, struct err *err)
{
    struct client_fetch size = client_fetch_sizes(config, partitions);

    return set_number(conf, "fetch.message.max.bytes", size.part, err) &&
           /* of an answer it may not be more; a consumer has no other use for it */
           set_number(conf, "message.max.bytes", size.answer < 1000000 ? size.answer : 1000000,
                      err) &&
           set_number(conf, "fetch.max.bytes", size.answer, err) &&
           set_number(conf, "queued.max.messages.kbytes", size.queue / KIB, err) &&
           set_number(conf, "queued.min.messages", clamp(size.queue / RECORD_COST, 100, 10000000),
                      err);
}

static bool set_consumer(rd_kafka_conf_t *conf, const struct config *config,
                         const struct client_options *options, struct err *err)
{
    if (!set_all(conf, FOR_CONSUMERS, err) ||
        !set_consumer_sizes(conf, config, options->partitions, err)) {
        return false;
    }
    if (options->purpose == CLIENT_OUTPUT || options->purpose == CLIENT_OUTPUT_COMMITTED) {
        /* A fetch that waits at one partition's end holds up those whose queue was full when it was
         * sent: a read-back would stand still for that long, again and again. */
        return set_one(conf, "fetch.wait.max.ms", "10", err);
    }
    return set_number(conf, "session.timeout.ms", config->session_timeout_ms, err) &&
           set_number(conf, "heartbeat.interval.ms", config->heartbeat_interval_ms, err) &&
           set_number(conf, "max.poll.interval.ms", config->max_poll_interval_ms, err);
}

int64_t client_sink_bytes(const struct config *config)
{
    return config->memory_max_bytes / 2;
}

/* sink.c counts what is on its way. librdkafka's own bounds are out of the way: a record that is
 * larger than them could never be sent. */
static bool set_sink(rd_kafka_conf_t *conf, const struct client_options *options, struct err *err)
{
    return set_all(conf, FOR_SINK, err) &&
           set_one(conf, IN_FLIGHT, options->purpose == CLIENT_SINK ? "5" : "1", err) &&
           (options->batch_bytes_max == 0 ||
            set_number(conf, "batch.size", (int64_t)options->batch_bytes_max, err));
}

bool client_conf_produces(enum client_purpose purpose)
{
    return purpose == CLIENT_SINK || purpose == CLIENT_TRANSACTIONS;
}

static bool set_users(rd_kafka_conf_t *conf, const struct config *config,
                      enum client_purpose purpose, struct err *err)
{
    enum config_client own = CONFIG_BOTH;

    if (client_conf_produces(purpose)) {
        own = CONFIG_PRODUCER;
    } else if (purpose != CLIENT_ASK) {
        own = CONFIG_CONSUMER;
    }
    for (int pass = 0; pass < 2; pass++) { /* the plain ones first: `producer.NAME` says more */
        for (size_t i = 0; i < config->kafka_count; i++) {
            const struct config_kafka *kafka = &config->kafka[i];

            if (kafka->client == (pass == 0 ? CONFIG_BOTH : own) &&
                !set_one(conf, kafka->name, kafka->value, err)) {
                return false;
            }
        }
        if (own == CONFIG_BOTH) {
            break;
        }
    }
    return true;
}

/* No request may be larger than the smallest output topic takes, whatever the user's setting is. */
static bool cap_batch_size(rd_kafka_conf_t *conf, size_t bytes_max, struct err *err)
{
    char text[32];
    size_t size = sizeof(text);

    if (bytes_max == 0 || rd_kafka_conf_get(conf, "batch.size", text, &size) != RD_KAFKA_CONF_OK ||
        strtoull(text, NULL, 10) <= bytes_max) {
        return true;
    }
    return set_number(conf, "batch.size", (int64_t)bytes_max, err);
}

static bool set_fixed(rd_kafka_conf_t *conf, const struct config *config,
                      const struct client_options *options, struct err *err)
{
    char *group = NULL;
    bool done = false;

    switch (options->purpose) {
    case CLIENT_INPUT:
        return set_all(conf, FIXED_FOR_CONSUMERS, err) &&
               set_one(conf, "group.id", config->group_id, err) &&
               set_one(conf, "isolation.level",
                       config->isolation == ISOLATION_READ_COMMITTED ? "read_committed"
                                                                     : "read_uncommitted",
                       err);
    case CLIENT_OUTPUT:
    case CLIENT_OUTPUT_COMMITTED:
        group = mem_print("%s-readback", config->group_id); /* never joined, never committed to */
        done = set_all(conf, FIXED_FOR_CONSUMERS, err) && set_all(conf, FIXED_FOR_OUTPUT, err) &&
               set_one(conf, "isolation.level",
                       options->purpose == CLIENT_OUTPUT ? "read_uncommitted" : "read_committed",
                       err) &&
               set_one(conf, "group.id", group, err);
        free(group);
        return done;
    case CLIENT_SINK:
        return set_all(conf, FIXED_FOR_SINK, err) &&
               set_all(conf, FIXED_WITHOUT_TRANSACTIONS, err) &&
               cap_batch_size(conf, options->batch_bytes_max, err);
    case CLIENT_TRANSACTIONS:
        return set_all(conf, FIXED_FOR_SINK, err) &&
               set_one(conf, "transactional.id", config->transactional_id, err) &&
               cap_batch_size(conf, options->batch_bytes_max, err);
    case CLIENT_ASK:
        /* A consumer, though it consumes nothing: on a handle without a group 2.8 crashes when a
         * coordinator that is still loading answers a question for a group's offsets
         * (rd_kafka_handle_OffsetFetch). */
        return set_all(conf, FIXED_FOR_CONSUMERS, err) &&
               set_one(conf, "group.id", config->group_id, err);
    }
    return true;
}

bool client_conf_set(rd_kafka_conf_t *conf, const struct config *config,
                     const struct client_options *options, struct err *err)
{
    enum client_purpose purpose = options->purpose;
    int64_t socket_ms =
        clamp(config->request_timeout_ms, SOCKET_TIMEOUT_MS_MIN, SOCKET_TIMEOUT_MS_MAX);

    if (purpose == CLIENT_TRANSACTIONS && socket_ms > config->transaction_timeout_ms) {
        socket_ms = config->transaction_timeout_ms; /* librdkafka's own condition */
    }
    if (!set_all(conf, FOR_ALL, err) || !set_one(conf, "client.id", config->job_name, err) ||
        !set_number(conf, "socket.timeout.ms", socket_ms, err)) {
        return false;
    }
    if (client_conf_produces(purpose) && !set_sink(conf, options, err)) {
        return false;
    }
    if (!client_conf_produces(purpose) && purpose != CLIENT_ASK &&
        !set_consumer(conf, config, options, err)) {
        return false;
    }
    return set_users(conf, config, purpose, err) && set_fixed(conf, config, options, err);
}
