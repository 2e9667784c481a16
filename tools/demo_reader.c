/* Reads a topic from its beginning to its end as it is now, and compares: each input record is kept with the number of
 * times it was seen in the output; what isn't seen exactly once, in order and unchanged, is counted. */
#include "demo_reader.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MS = 10000, POLL_MS = 100, SILENT_POLLS_MAX = 150, HEADER_BYTES_MAX = 512 };

/* What must arrive unchanged. */
struct record {
    int64_t timestamp_ms;
    char *key;
    char *value;
    uint32_t seen;
};

struct partition {
    struct record *records;
    int64_t count;
    int64_t last; /* number of the output record seen last */
};

struct comparison {
    struct partition *partitions;
    struct demo_account account;
};

struct batch_count {
    int64_t batch;
    int64_t records;
};

typedef void (*found)(void *arg, const rd_kafka_message_t *message);

_Noreturn void demo_give_up(const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fputs("\ndemo: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static rd_kafka_t *reader_new(const char *bootstrap)
{
    static const char *const SETTINGS[][2] = {
        {"group.id", "demo-reader"},    {"enable.auto.commit", "false"},
        {"auto.offset.reset", "error"}, {"isolation.level", "read_uncommitted"},
        {"fetch.wait.max.ms", "20"},    {"check.crcs", "true"},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[512];
    rd_kafka_t *reader;

    if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, text, sizeof(text)) !=
        RD_KAFKA_CONF_OK) {
        demo_give_up("%s", text);
    }
    for (size_t i = 0; i < sizeof(SETTINGS) / sizeof(SETTINGS[0]); i++) {
        if (rd_kafka_conf_set(conf, SETTINGS[i][0], SETTINGS[i][1], text, sizeof(text)) !=
            RD_KAFKA_CONF_OK) {
            demo_give_up("%s", text);
        }
    }
    reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (reader == NULL) {
        demo_give_up("%s", text);
    }
    rd_kafka_poll_set_consumer(reader);
    return reader;
}

/* Assigns every partition that isn't empty, from its first record; returns how many records there are. */
static int64_t assign_all(rd_kafka_t *reader, const char *topic, int32_t partitions)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    int64_t records = 0;

    for (int32_t p = 0; p < partitions; p++) {
        int64_t first;
        int64_t end;
        rd_kafka_resp_err_t error =
            rd_kafka_query_watermark_offsets(reader, topic, p, &first, &end, ANSWER_MS);

        if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
            demo_give_up("can't ask where %s[%d] ends: %s", topic, p, rd_kafka_err2str(error));
        }
        if (first != 0) {
            demo_give_up("the mock cluster has dropped records of %s[%d]: no account is possible",
                         topic, p);
        }
        if (end > 0) {
            rd_kafka_topic_partition_list_add(list, topic, p)->offset = 0;
            records += end;
        }
    }
    if (rd_kafka_assign(reader, list) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        demo_give_up("can't read %s", topic);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return records;
}

static void read_topic(const struct demo_topics *topics, const char *topic, found tell, void *arg)
{
    rd_kafka_t *reader = reader_new(topics->bootstrap);
    int64_t left = assign_all(reader, topic, topics->partitions);
    int silent = 0;

    while (left > 0) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, POLL_MS);

        if (message == NULL) {
            if (++silent > SILENT_POLLS_MAX) {
                demo_give_up("%" PRId64 " records of %s don't come", left, topic);
            }
            continue;
        }
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            demo_give_up("reading %s: %s", topic, rd_kafka_message_errstr(message));
        }
        tell(arg, message);
        rd_kafka_message_destroy(message);
        silent = 0;
        left--;
    }
    rd_kafka_consumer_close(reader);
    rd_kafka_destroy(reader);
}

static char *text_of(const void *bytes, size_t size)
{
    char *text = bytes != NULL ? strndup(bytes, size) : strdup("(null)");

    if (text == NULL) {
        demo_give_up("out of memory");
    }
    return text;
}

static void keep_input(void *arg, const rd_kafka_message_t *message)
{
    struct comparison *comparison = arg;
    struct partition *partition = &comparison->partitions[message->partition];
    rd_kafka_timestamp_type_t type;

    if (message->offset != partition->count) {
        demo_give_up("the input isn't as it was fed: offset %" PRId64 " after %" PRId64,
                     message->offset, partition->count - 1);
    }
    /* Room for 1, 2, 4, … records. */
    if ((partition->count & (partition->count - 1)) == 0) {
        size_t room = partition->count == 0 ? 1 : (size_t)partition->count * 2;

        partition->records = realloc(partition->records, room * sizeof(*partition->records));
        if (partition->records == NULL) {
            demo_give_up("out of memory");
        }
    }
    partition->records[partition->count++] = (struct record){
        .timestamp_ms = rd_kafka_message_timestamp(message, &type),
        .key = text_of(message->key, message->key_len),
        .value = text_of(message->payload, message->len),
    };
    comparison->account.in++;
}

/* The text of the record's last header when that is ours, else "". */
static void last_header(const rd_kafka_message_t *message, char text[HEADER_BYTES_MAX])
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size;

    text[0] = '\0';
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_all(headers, rd_kafka_header_cnt(headers) - 1, &name, &value, &size) !=
            RD_KAFKA_RESP_ERR_NO_ERROR) {
        return;
    }
    if (strcmp(name, "oncesink") == 0 && value != NULL && size < HEADER_BYTES_MAX) {
        memcpy(text, value, size);
        text[size] = '\0';
    }
}

/* The header that every input record has, and ours behind it. */
static bool has_its_headers(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size;
    char ours[HEADER_BYTES_MAX];

    last_header(message, ours);
    return ours[0] != '\0' &&
           rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
           rd_kafka_header_cnt(headers) == 2 &&
           rd_kafka_header_get_all(headers, 0, &name, &value, &size) ==
               RD_KAFKA_RESP_ERR_NO_ERROR &&
           strcmp(name, "origin") == 0 && size == 4 && memcmp(value, "demo", 4) == 0;
}

static bool is_unchanged(const struct record *record, const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;

    return record->timestamp_ms == rd_kafka_message_timestamp(message, &type) &&
           message->key != NULL && message->key_len == strlen(record->key) &&
           memcmp(message->key, record->key, message->key_len) == 0 &&
           message->len == strlen(record->value) &&
           memcmp(message->payload, record->value, message->len) == 0 && has_its_headers(message);
}

static void compare_output(void *arg, const rd_kafka_message_t *message)
{
    struct comparison *comparison = arg;
    struct demo_account *account = &comparison->account;
    struct partition *partition = &comparison->partitions[message->partition];
    char *value = text_of(message->payload, message->len);
    int64_t number;
    bool known = sscanf(value, "{\"order\": %" SCNd64, &number) == 1 && number >= 0 &&
                 number < partition->count;

    free(value);
    account->out++;
    if (!known) {
        account->unexpected++;
        return;
    }
    account->doubled += partition->records[number].seen++ > 0;
    account->changed += !is_unchanged(&partition->records[number], message);
    account->out_of_order += number < partition->last;
    partition->last = number;
}

void demo_compare(const struct demo_topics *topics, struct demo_account *account_out)
{
    struct comparison comparison = {
        .partitions = calloc((size_t)topics->partitions, sizeof(struct partition))};

    if (comparison.partitions == NULL) {
        demo_give_up("out of memory");
    }
    read_topic(topics, topics->input, keep_input, &comparison);
    read_topic(topics, topics->output, compare_output, &comparison);
    for (int32_t p = 0; p < topics->partitions; p++) {
        struct partition *partition = &comparison.partitions[p];

        for (int64_t i = 0; i < partition->count; i++) {
            comparison.account.missing += partition->records[i].seen == 0;
            free(partition->records[i].key);
            free(partition->records[i].value);
        }
        free(partition->records);
    }
    free(comparison.partitions);
    *account_out = comparison.account;
}

/* 1/JOB/LEDGER/INCARNATION/BATCH/… */
static void count_batch(void *arg, const rd_kafka_message_t *message)
{
    struct batch_count *count = arg;
    char text[HEADER_BYTES_MAX];
    int64_t batch;

    last_header(message, text);
    if (sscanf(text, "1/%*[^/]/%*[^/]/%*[^/]/%" SCNd64 "/", &batch) == 1 && batch == count->batch) {
        count->records++;
    }
}

int64_t demo_count_batch(const struct demo_topics *topics, int64_t batch)
{
    struct batch_count count = {.batch = batch};

    read_topic(topics, topics->output, count_batch, &count);
    return count.records;
}
