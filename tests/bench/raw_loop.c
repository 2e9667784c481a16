/* The floor: the shortest loop that copies a topic correctly, to measure the product against.
 *
 *     raw_loop [--header] [--even] [--transactional ID] [-X NAME=VALUE]…
 *              BOOTSTRAP INPUT OUTPUT BATCH
 *
 *     consume ─► produce (no copy: the message lives until its delivery report)
 *     ─► flush every BATCH
 *     (transactional: begin before a batch; behind its flush send_offsets with a text, commit)
 *
 * It copies what is in INPUT when it starts, partition to the same partition, with key, value,
 * headers and timestamp, by an idempotent producer with one request of a partition in flight, as
 * the product does; but it remembers nothing: no ledger, no plan, no recovery. With --header each
 * record gets one header more, as long as the product's. With --transactional each batch is a
 * transaction that carries the offsets of all partitions, as the product's; ID is its
 * transactional.id and its group. -X goes to both clients. Prints one line of JSON.
 *
 * A batch is what lies first in the consumer's queue. A small one mostly is of one partition then
 * and costs one request; the product's, which are split over the partitions, cost one for each
 * partition, one after the other. With --even each batch has as many records of each partition, as
 * far as there are some left in it, so that it costs as many requests as the product's. */
#include <librdkafka/rdkafka.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TAKE_MAX = 10000, /* messages taken in one call */
    ANSWER_MS = 10000,
    IDLE_ROUNDS_MAX = 300, /* × 100 ms without a record: something is wrong */
    FLUSH_MS = 60000,
    EXTRAS_MAX = 32,
    PARTITIONS_MAX = 64,
    CALL_MS = 30000, /* of a transaction */
};

#ifdef ONCESINK_RDKAFKA_ONE_REQUEST
#define IN_FLIGHT "5" /* of a connection, each of another partition */
#else
#define IN_FLIGHT "1"
#endif

/* As long as the product's text for a topic with a short name and seven-digit offsets. */
static const char HEADER[] = "1/cbf43926/0123456789ab/00ff00ff/12/bench-in/2/1234567/0";
/* As long as the product's mark. */
static const char MARK[] = "0123456789abcdef0123456789abcdef/00ff00ff/transactional/12/1/1";

struct copy {
    rd_kafka_t *consumer;
    rd_kafka_t *producer;
    rd_kafka_topic_t *output;
    rd_kafka_queue_t *queue;                   /* of all partitions */
    rd_kafka_queue_t *queues[PARTITIONS_MAX];  /* of one each; with --even */
    rd_kafka_consumer_group_metadata_t *group; /* NULL = without transactions */
    const char *input;
    int64_t next[PARTITIONS_MAX]; /* of the input: up to where it was copied */
    int partitions;
    bool header;
    bool even;
    int64_t left;                    /* records not consumed yet */
    int64_t left_in[PARTITIONS_MAX]; /* the same, each partition's; with --even */
    int64_t records;
    int64_t batch;
};

static _Noreturn __attribute__((format(printf, 1, 2))) void give_up(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[512];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        give_up("%s", text);
    }
}

static void set_extras(rd_kafka_conf_t *conf, char *const *extras, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(extras[i], '=');
        char name[128];

        if (equals == NULL) {
            give_up("-X %s: no '='", extras[i]);
        }
        snprintf(name, sizeof(name), "%.*s", (int)(equals - extras[i]), extras[i]);
        set(conf, name, equals + 1);
    }
}

static void be_quiet(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client;
    if (level <= 3) {
        fprintf(stderr, "%s: %s\n", facility, text);
    }
}

static rd_kafka_t *make(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char text[512];
    rd_kafka_t *client;

    rd_kafka_conf_set_log_cb(conf, be_quiet);
    client = rd_kafka_new(type, conf, text, sizeof(text));
    if (client == NULL) {
        give_up("%s", text);
    }
    return client;
}

static rd_kafka_t *make_consumer(const char *bootstrap, char *const *extras, size_t count)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *consumer;

    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "group.id", "raw-loop");
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.auto.offset.store", "false");
    set(conf, "auto.offset.reset", "error");
    set(conf, "queued.min.messages", "1000000");
    set(conf, "queued.max.messages.kbytes", "8192");
    set(conf, "fetch.queue.backoff.ms", "1");
    set(conf, "fetch.message.max.bytes", "1048576");
    set(conf, "check.crcs", "true");
    set_extras(conf, extras, count);
    consumer = make(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(consumer);
    return consumer;
}

/* Every record ends here. One that wasn't delivered ends the measurement. */
static void delivered(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    (void)opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        give_up("a record wasn't delivered: %s", rd_kafka_err2str(message->err));
    }
    rd_kafka_message_destroy(message->_private);
}

static rd_kafka_t *make_producer(const char *bootstrap, const char *transactional_id,
                                 char *const *extras, size_t count)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "enable.idempotence", "true");
    if (transactional_id != NULL) {
        set(conf, "transactional.id", transactional_id);
        set(conf, "max.in.flight.requests.per.connection", "1");
    } else {
        set(conf, "max.in.flight.requests.per.connection", IN_FLIGHT);
        set(conf, "enable.gapless.guarantee", "true");
        set(conf, "message.timeout.ms", "0");
    }
    set(conf, "linger.ms", "5");
    set(conf, "batch.num.messages", "100000");
    set(conf, "socket.nagle.disable", "true");
    set(conf, "queue.buffering.max.messages", "1000000");
    set(conf, "queue.buffering.max.kbytes", "8192");
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    set_extras(conf, extras, count);
    return make(RD_KAFKA_PRODUCER, conf);
}

/* Before partitions are assigned: else first records could come to the queue of all. */
static void split_queue(struct copy *copy)
{
    for (int32_t p = 0; p < copy->partitions; p++) {
        copy->queues[p] = rd_kafka_queue_get_partition(copy->consumer, copy->input, p);
        rd_kafka_queue_forward(copy->queues[p], NULL);
    }
}

/* Assigns all partitions from their first record; returns how many records there are. */
static int64_t assign_all(struct copy *copy, const char *topic)
{
    rd_kafka_t *consumer = copy->consumer;
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(consumer, topic, NULL);
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t error = rd_kafka_metadata(consumer, 0, handle, &metadata, ANSWER_MS);
    int64_t records = 0;

    if (error != RD_KAFKA_RESP_ERR_NO_ERROR || metadata->topic_cnt != 1 ||
        metadata->topics[0].partition_cnt < 1 ||
        metadata->topics[0].partition_cnt > PARTITIONS_MAX) {
        give_up("no topic '%s': %s", topic, rd_kafka_err2str(error));
    }
    copy->input = topic;
    copy->partitions = metadata->topics[0].partition_cnt;
    list = rd_kafka_topic_partition_list_new(copy->partitions);
    for (int32_t p = 0; p < metadata->topics[0].partition_cnt; p++) {
        int64_t first;
        int64_t end;

        error = rd_kafka_query_watermark_offsets(consumer, topic, p, &first, &end, ANSWER_MS);
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
            give_up("no ends of '%s'[%d]: %s", topic, p, rd_kafka_err2str(error));
        }
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = first;
        copy->next[p] = first;
        copy->left_in[p] = end - first;
        records += end - first;
    }
    rd_kafka_metadata_destroy(metadata);
    if (copy->even) {
        split_queue(copy);
    }
    error = rd_kafka_assign(consumer, list);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        give_up("assign: %s", rd_kafka_err2str(error));
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_topic_destroy(handle);
    return records;
}

static rd_kafka_headers_t *headers_of(const struct copy *copy, rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers = NULL;

    if (rd_kafka_message_detach_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        headers = copy->header ? rd_kafka_headers_new(1) : NULL;
    }
    if (copy->header) {
        rd_kafka_header_add(headers, "oncesink", 8, HEADER, sizeof(HEADER) - 1);
    }
    return headers;
}

static void produce(struct copy *copy, rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = copy->output},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = message->partition},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {.ptr = message->key, .size = message->key_len}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {.ptr = message->payload, .size = message->len}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = rd_kafka_message_timestamp(message, &type)},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = message},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers_of(copy, message)},
    };
    size_t count = sizeof(fields) / sizeof(fields[0]);
    rd_kafka_error_t *error;

    count -= fields[count - 1].u.headers == NULL;
    while ((error = rd_kafka_produceva(copy->producer, fields, count)) != NULL) {
        if (rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            give_up("produce: %s", rd_kafka_error_string(error));
        }
        rd_kafka_error_destroy(error);
        rd_kafka_poll(copy->producer, 100);
    }
}

/* A call of a transaction has no second try here. */
static void demand(rd_kafka_error_t *error, const char *doing)
{
    if (error != NULL) {
        give_up("%s: %s", doing, rd_kafka_error_string(error));
    }
}

static void commit(struct copy *copy)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(copy->partitions);

    for (int32_t p = 0; p < copy->partitions; p++) {
        rd_kafka_topic_partition_t *to = rd_kafka_topic_partition_list_add(list, copy->input, p);

        to->offset = copy->next[p];
        to->metadata = strdup(MARK); /* freed with the list */
        to->metadata_size = sizeof(MARK) - 1;
    }
    demand(rd_kafka_send_offsets_to_transaction(copy->producer, list, copy->group, CALL_MS),
           "sending offsets");
    rd_kafka_topic_partition_list_destroy(list);
    demand(rd_kafka_commit_transaction(copy->producer, CALL_MS), "committing");
}

/* So many records of one queue. */
static void copy_from(struct copy *copy, rd_kafka_queue_t *queue, int64_t left)
{
    rd_kafka_message_t *messages[TAKE_MAX];
    int idle = 0;

    while (left > 0) {
        size_t max = left < TAKE_MAX ? (size_t)left : TAKE_MAX;
        ssize_t taken = rd_kafka_consume_batch_queue(queue, 100, messages, max);

        if (taken <= 0 && ++idle > IDLE_ROUNDS_MAX) {
            give_up("nothing comes any more, %" PRId64 " records are missing", left);
        }
        for (ssize_t i = 0; i < taken; i++) {
            if (messages[i]->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
                give_up("consume: %s", rd_kafka_message_errstr(messages[i]));
            }
            copy->next[messages[i]->partition] = messages[i]->offset + 1;
            produce(copy, messages[i]);
            idle = 0;
        }
        left -= taken > 0 ? taken : 0;
        copy->records += taken > 0 ? taken : 0;
        rd_kafka_poll(copy->producer, 0);
    }
}

/* Of so many records, as many for each partition; others fill up for one that has too few left. */
static void share(struct copy *copy, int64_t count, int64_t *shares_out)
{
    while (count > 0) {
        int64_t open = 0; /* partitions with records left */
        int64_t each;

        for (int32_t p = 0; p < copy->partitions; p++) {
            open += copy->left_in[p] > 0;
        }
        each = count > open ? count / open : 1;
        for (int32_t p = 0; p < copy->partitions && count > 0; p++) {
            int64_t more = copy->left_in[p] < each ? copy->left_in[p] : each;

            shares_out[p] += more;
            copy->left_in[p] -= more;
            count -= more;
        }
    }
}

static void copy_evenly(struct copy *copy, int64_t count)
{
    int64_t shares[PARTITIONS_MAX] = {0};

    share(copy, count, shares);
    for (int32_t p = 0; p < copy->partitions; p++) {
        copy_from(copy, copy->queues[p], shares[p]);
    }
}

static void copy_batch(struct copy *copy)
{
    int64_t count = copy->left < copy->batch ? copy->left : copy->batch;

    if (copy->group != NULL) {
        demand(rd_kafka_begin_transaction(copy->producer), "beginning a transaction");
    }
    copy->left -= count;
    if (copy->even) {
        copy_evenly(copy, count);
    } else {
        copy_from(copy, copy->queue, count);
    }
    if (rd_kafka_flush(copy->producer, FLUSH_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        give_up("flush took too long");
    }
    if (copy->group != NULL) {
        commit(copy);
    }
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    struct copy copy = {0};
    const char *transactional_id = NULL;
    char *extras[EXTRAS_MAX];
    size_t extra_count = 0;
    int at = 1;
    double began;

    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--header") == 0) {
            copy.header = true;
        } else if (strcmp(argv[at], "--even") == 0) {
            copy.even = true;
        } else if (strcmp(argv[at], "--transactional") == 0 && at + 1 < argc) {
            transactional_id = argv[++at];
        } else if (strcmp(argv[at], "-X") == 0 && at + 1 < argc && extra_count < EXTRAS_MAX) {
            extras[extra_count++] = argv[++at];
        } else {
            give_up("%s isn't understood", argv[at]);
        }
    }
    if (argc - at != 4 || (copy.batch = strtoll(argv[at + 3], NULL, 10)) <= 0) {
        give_up("usage: raw_loop [--header] [--even] [--transactional ID] [-X NAME=VALUE]... "
                "BOOTSTRAP INPUT OUTPUT BATCH");
    }
    copy.consumer = make_consumer(argv[at], extras, extra_count);
    copy.producer = make_producer(argv[at], transactional_id, extras, extra_count);
    if (transactional_id != NULL) {
        copy.group = rd_kafka_consumer_group_metadata_new(transactional_id);
        demand(rd_kafka_init_transactions(copy.producer, CALL_MS), "init_transactions");
    }
    copy.output = rd_kafka_topic_new(copy.producer, argv[at + 2], NULL);
    copy.queue = rd_kafka_queue_get_consumer(copy.consumer);
    copy.left = assign_all(&copy, argv[at + 1]);
    began = now_s();
    while (copy.left > 0) {
        copy_batch(&copy);
    }
    printf("{\"records\": %" PRId64 ", \"seconds\": %.4f}\n", copy.records, now_s() - began);
    /* All is acknowledged. Closing the clients can take the library a second, which would count. */
    fflush(stdout);
    _exit(0);
}
