/* Reads a topic from its beginning to its end as it is now, and compares: each input record is kept
 * with the number of times it was seen in the output; what isn't seen exactly once, in order and
 * unchanged, is counted. */
#include "demo_reader.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANSWER_MS = 10000,
    POLL_MS = 100,
    SILENT_POLLS_MAX = 150,
    PARTITIONS_MAX = 8,
    RECORDS_MAX = 50000, /* of a partition: more than the mock cluster keeps */
    KEY_BYTES_MAX = 32,
    VALUE_BYTES_MAX = 128,
    HEADER_BYTES_MAX = 512,
};

/* What must arrive unchanged. */
struct record {
    int64_t timestamp_ms;
    char key[KEY_BYTES_MAX];
    char value[VALUE_BYTES_MAX];
    uint32_t seen;
};

struct partition {
    struct record *records; /* by number, RECORDS_MAX of them */
    int64_t count;
    int64_t last; /* number of the output record seen last */
};

struct comparison {
    struct partition partitions[PARTITIONS_MAX];
    struct demo_account account;
};

struct batch_count {
    int64_t batch;
    int64_t records;
};

typedef void (*found)(void *arg, const rd_kafka_message_t *message);

void demo_give_up(const char *format, ...)
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

/* Assigns every partition that isn't empty, from its first record; returns how many records there
 * are. */
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

static bool copy_text(const void *bytes, size_t size, char *text, size_t text_size)
{
    if (bytes == NULL || size >= text_size || memchr(bytes, 0, size) != NULL) {
        return false;
    }
    memcpy(text, bytes, size);
    text[size] = '\0';
    return true;
}

static void keep_input(void *arg, const rd_kafka_message_t *message)
{
    struct comparison *comparison = arg;
    struct partition *partition = &comparison->partitions[message->partition];
    struct record *record = &partition->records[partition->count];
    rd_kafka_timestamp_type_t type;

    if (message->offset != partition->count || partition->count == RECORDS_MAX ||
        !copy_text(message->key, message->key_len, record->key, sizeof(record->key)) ||
        !copy_text(message->payload, message->len, record->value, sizeof(record->value))) {
        demo_give_up("the input isn't as it was fed: %s[%d], offset %" PRId64,
                     rd_kafka_topic_name(message->rkt), message->partition, message->offset);
    }
    record->timestamp_ms = rd_kafka_message_timestamp(message, &type);
    partition->count++;
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
    char key[KEY_BYTES_MAX];
    char value[VALUE_BYTES_MAX];

    return record->timestamp_ms == rd_kafka_message_timestamp(message, &type) &&
           copy_text(message->key, message->key_len, key, sizeof(key)) &&
           strcmp(key, record->key) == 0 &&
           copy_text(message->payload, message->len, value, sizeof(value)) &&
           strcmp(value, record->value) == 0 && has_its_headers(message);
}

/* The number between `before` and `after`, or −1. */
static int64_t number_in(const char *text, const char *before, char after)
{
    char *end;
    long long number;

    if (strncmp(text, before, strlen(before)) != 0) {
        return -1;
    }
    number = strtoll(text + strlen(before), &end, 10);
    return *end == after && number >= 0 ? number : -1;
}

static void compare_output(void *arg, const rd_kafka_message_t *message)
{
    struct comparison *comparison = arg;
    struct demo_account *account = &comparison->account;
    struct partition *partition = &comparison->partitions[message->partition];
    char value[VALUE_BYTES_MAX];
    int64_t number = -1;

    account->out++;
    if (copy_text(message->payload, message->len, value, sizeof(value))) {
        number = number_in(value, "{\"order\": ", ',');
    }
    if (number < 0 || number >= partition->count) {
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
    struct comparison comparison = {0};
    struct record *records = calloc((size_t)topics->partitions * RECORDS_MAX, sizeof(*records));

    if (records == NULL || topics->partitions > PARTITIONS_MAX) {
        demo_give_up("no room to compare %d partitions", topics->partitions);
    }
    for (int32_t p = 0; p < topics->partitions; p++) {
        comparison.partitions[p].records = &records[(size_t)p * RECORDS_MAX];
    }
    read_topic(topics, topics->input, keep_input, &comparison);
    read_topic(topics, topics->output, compare_output, &comparison);
    for (int32_t p = 0; p < topics->partitions; p++) {
        for (int64_t i = 0; i < comparison.partitions[p].count; i++) {
            comparison.account.missing += comparison.partitions[p].records[i].seen == 0;
        }
    }
    free(records);
    *account_out = comparison.account;
}

/* 1/JOB/LEDGER/INCARNATION/BATCH/… */
static void count_batch(void *arg, const rd_kafka_message_t *message)
{
    struct batch_count *count = arg;
    char text[HEADER_BYTES_MAX];
    const char *at = text;

    last_header(message, text);
    for (int field = 0; field < 4 && at != NULL; field++) {
        at = strchr(at, '/');
        at = at != NULL ? at + 1 : NULL;
    }
    if (at != NULL && number_in(at, "", '/') == count->batch) {
        count->records++;
    }
}

int64_t demo_count_batch(const struct demo_topics *topics, int64_t batch)
{
    struct batch_count count = {.batch = batch};

    read_topic(topics, topics->output, count_batch, &count);
    return count.records;
}
