/* The demo's account can fail: a planted loss, double, swap, changed byte, key, timestamp and
 * header, and a record from nowhere are each counted, and a clean copy is found clean. On
 * librdkafka's mock cluster. */
#include "../../tools/demo_reader.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PARTITIONS = 3, ROWS = 50, FLUSH_MS = 20000, BASE_MS = 1700000 };

struct world {
    rd_kafka_t *host;
    struct demo_topics topics;
};

struct fields {
    int64_t number;
    int64_t timestamp_ms;
    const char *key;
    const char *note;
    const char *origin;
    int64_t batch; /* 0 = no header of ours */
};

static struct world open_world(void)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_mock_cluster_t *cluster;
    struct world world = {0};
    char text[512];

    assert_int_equal(rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", text, sizeof(text)),
                     RD_KAFKA_CONF_OK);
    assert_int_equal(rd_kafka_conf_set(conf, "enable.idempotence", "true", text, sizeof(text)),
                     RD_KAFKA_CONF_OK);
    world.host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(world.host);
    cluster = rd_kafka_handle_mock_cluster(world.host);
    rd_kafka_mock_topic_create(cluster, "in", PARTITIONS, 1);
    rd_kafka_mock_topic_create(cluster, "out", PARTITIONS, 1);
    world.topics = (struct demo_topics){.bootstrap = rd_kafka_mock_cluster_bootstraps(cluster),
                                        .input = "in",
                                        .output = "out",
                                        .partitions = PARTITIONS};
    return world;
}

static void put(const struct world *world, const char *topic, int32_t partition,
                const struct fields *fields)
{
    char value[120];
    char header[120];
    rd_kafka_vu_t list[8];
    size_t count = 0;
    rd_kafka_error_t *error;

    snprintf(value, sizeof(value), "{\"order\": %" PRId64 ", \"note\": \"%s\"}", fields->number,
             fields->note);
    snprintf(header, sizeof(header),
             "1/cbf43926/0123456789ab/00ff00ff/%" PRId64 "/in/%d/%" PRId64 "/0", fields->batch,
             partition, fields->number);
    list[count].vtype = RD_KAFKA_VTYPE_TOPIC;
    list[count++].u.cstr = topic;
    list[count].vtype = RD_KAFKA_VTYPE_PARTITION;
    list[count++].u.i32 = partition;
    list[count].vtype = RD_KAFKA_VTYPE_KEY;
    list[count].u.mem.ptr = (void *)fields->key;
    list[count++].u.mem.size = strlen(fields->key);
    list[count].vtype = RD_KAFKA_VTYPE_VALUE;
    list[count].u.mem.ptr = value;
    list[count++].u.mem.size = strlen(value);
    list[count].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
    list[count++].u.i64 = fields->timestamp_ms;
    list[count].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    list[count++].u.i = RD_KAFKA_MSG_F_COPY;
    list[count].vtype = RD_KAFKA_VTYPE_HEADER;
    list[count].u.header.name = "origin";
    list[count].u.header.val = fields->origin;
    list[count++].u.header.size = (ssize_t)strlen(fields->origin);
    if (fields->batch > 0) {
        list[count].vtype = RD_KAFKA_VTYPE_HEADER;
        list[count].u.header.name = "oncesink";
        list[count].u.header.val = header;
        list[count++].u.header.size = (ssize_t)strlen(header);
    }
    error = rd_kafka_produceva(world->host, list, count);
    assert_null(error);
}

static struct fields fields_of(int64_t number)
{
    return (struct fields){.number = number,
                           .timestamp_ms = BASE_MS + number,
                           .key = "k",
                           .note = "as it was",
                           .origin = "demo"};
}

/* `plant` puts output record `number` of partition 0, however it likes. */
static void run(struct demo_account *account_out, int64_t *batch_8_out,
                void (*plant)(const struct world *, int64_t number, struct fields))
{
    struct world world = open_world();

    for (int32_t p = 0; p < PARTITIONS; p++) {
        for (int64_t number = 0; number < ROWS; number++) {
            struct fields fields = fields_of(number);

            put(&world, "in", p, &fields);
            fields.batch = number < ROWS / 2 ? 7 : 8;
            if (p == 0 && plant != NULL) {
                plant(&world, number, fields);
            } else {
                put(&world, "out", p, &fields);
            }
        }
    }
    assert_int_equal(rd_kafka_flush(world.host, FLUSH_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    demo_compare(&world.topics, account_out);
    *batch_8_out = demo_count_batch(&world.topics, 8);
    rd_kafka_destroy(world.host);
}

static void a_clean_copy_is_found_clean(void **state)
{
    struct demo_account account;
    int64_t batch_8;

    (void)state;
    run(&account, &batch_8, NULL);
    assert_int_equal(account.in, PARTITIONS * ROWS);
    assert_int_equal(account.out, PARTITIONS * ROWS);
    assert_int_equal(account.missing + account.doubled + account.out_of_order + account.changed +
                         account.unexpected,
                     0);
    assert_int_equal(batch_8, PARTITIONS * ROWS / 2);
}

static void plant_everything(const struct world *world, int64_t number, struct fields fields)
{
    struct fields other;

    switch (number) {
    case 3: /* a loss */
        return;
    case 5: /* a double */
        put(world, "out", 0, &fields);
        break;
    case 10: /* a swap: 11 goes first */
        other = fields_of(11);
        other.batch = 7;
        put(world, "out", 0, &other);
        break;
    case 11:
        return;
    case 20:
        fields.note = "as it Was";
        break;
    case 21:
        fields.key = "K";
        break;
    case 22:
        fields.timestamp_ms++;
        break;
    case 23:
        fields.batch = 0; /* without our header */
        break;
    case 24:
        fields.origin = "Demo";
        break;
    case 30: /* two records from nowhere */
        other = fields_of(ROWS);
        other.batch = 8;
        put(world, "out", 0, &other);
        other.number = 1000000;
        put(world, "out", 0, &other);
        break;
    default:
        break;
    }
    put(world, "out", 0, &fields);
}

static void every_planted_fault_is_counted(void **state)
{
    struct demo_account account;
    int64_t batch_8;

    (void)state;
    run(&account, &batch_8, plant_everything);
    assert_int_equal(account.in, PARTITIONS * ROWS);
    assert_int_equal(account.out, PARTITIONS * ROWS - 1 + 1 + 2);
    assert_int_equal(account.missing, 1);
    assert_int_equal(account.doubled, 1);
    assert_int_equal(account.out_of_order, 1);
    assert_int_equal(account.changed, 5);
    assert_int_equal(account.unexpected, 2);
    assert_int_equal(batch_8, PARTITIONS * ROWS / 2 + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_copy_is_found_clean),
        cmocka_unit_test(every_planted_fault_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
