/* The mock cluster has two brokers: one leads the input's partitions, the other the output's. A
 * slow network to the second one alone stretches a batch, and a produce request that it gets is one
 * of the service's. */
#include "demo_feed.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    INPUT_BROKER = 1,
    OUTPUT_BROKER = 2,
    OUTPUT_RTT_MS = 60,
    STEP_MS = 10,
    FLUSH_MS_MAX = 30000,
    API_PRODUCE = 0,
};

/* It warns that the cluster is a mock. */
static void ignore_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client;
    (void)level;
    (void)facility;
    (void)text;
}

static void fed_one(rd_kafka_t *host, const rd_kafka_message_t *message, void *opaque)
{
    struct demo_feed *feed = opaque;

    (void)host;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        demo_give_up("feeding: %s", rd_kafka_err2str(message->err));
    }
    atomic_fetch_add(&feed->fed, 1);
}

static void make_topic(struct demo_feed *feed, const char *topic, int32_t leader)
{
    rd_kafka_resp_err_t error =
        rd_kafka_mock_topic_create(feed->cluster, topic, DEMO_PARTITIONS, 1);

    for (int32_t p = 0; p < DEMO_PARTITIONS && error == RD_KAFKA_RESP_ERR_NO_ERROR; p++) {
        error = rd_kafka_mock_partition_set_leader(feed->cluster, topic, p, leader);
    }
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        demo_give_up("mock topic %s: %s", topic, rd_kafka_err2str(error));
    }
}

void demo_feed_open(struct demo_feed *feed)
{
    static const char *const SETTINGS[][2] = {
        {"test.mock.num.brokers", "2"},
        {"enable.idempotence", "true"}, /* so that a record's number is its offset */
        {"linger.ms", "5"},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[512];

    *feed = (struct demo_feed){0};
    for (size_t i = 0; i < sizeof(SETTINGS) / sizeof(SETTINGS[0]); i++) {
        if (rd_kafka_conf_set(conf, SETTINGS[i][0], SETTINGS[i][1], text, sizeof(text)) !=
            RD_KAFKA_CONF_OK) {
            demo_give_up("%s", text);
        }
    }
    rd_kafka_conf_set_log_cb(conf, ignore_log);
    rd_kafka_conf_set_dr_msg_cb(conf, fed_one);
    rd_kafka_conf_set_opaque(conf, feed);
    feed->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (feed->host == NULL) {
        demo_give_up("%s", text);
    }
    feed->cluster = rd_kafka_handle_mock_cluster(feed->host);
    feed->topics = (struct demo_topics){
        .bootstrap = rd_kafka_mock_cluster_bootstraps(feed->cluster),
        .input = "orders",
        .output = "orders_out",
        .partitions = DEMO_PARTITIONS,
    };
    make_topic(feed, feed->topics.input, INPUT_BROKER);
    make_topic(feed, feed->topics.output, OUTPUT_BROKER);
    rd_kafka_mock_broker_set_rtt(feed->cluster, OUTPUT_BROKER, OUTPUT_RTT_MS);
}

static void feed_record(struct demo_feed *feed, int32_t partition, int64_t number)
{
    char key[32];
    char value[128];
    int key_size = snprintf(key, sizeof(key), "customer-%" PRId64, number * 7 % 1000);
    int value_size = snprintf(value, sizeof(value),
                              "{\"order\": %" PRId64 ", \"shop\": %d, \"cents\": %" PRId64
                              ", \"note\": \"................................\"}",
                              number, partition, number * 31 % 10000);
    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = feed->topics.input},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {.ptr = key, .size = (size_t)key_size}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {.ptr = value, .size = (size_t)value_size}},
        {.vtype = RD_KAFKA_VTYPE_HEADER, .u.header = {.name = "origin", .val = "demo", .size = 4}},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
    };
    rd_kafka_error_t *error =
        rd_kafka_produceva(feed->host, fields, sizeof(fields) / sizeof(fields[0]));

    if (error != NULL) {
        demo_give_up("feeding: %s", rd_kafka_error_string(error));
    }
}

/* Record `number` of each partition. */
static void feed_row(struct demo_feed *feed, int64_t number)
{
    for (int32_t p = 0; p < DEMO_PARTITIONS; p++) {
        feed_record(feed, p, number);
    }
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The feeder's thread. */
static void *feed_all(void *arg)
{
    struct demo_feed *feed = arg;
    int64_t began_ms = now_ms();
    int64_t row = 0;

    for (; row < DEMO_BACKLOG; row++) {
        feed_row(feed, row);
    }
    for (int64_t ms = 0; ms < DEMO_FEED_S * 1000; ms = now_ms() - began_ms) {
        for (; row < DEMO_BACKLOG + ms * DEMO_FEED_RATE / 1000; row++) {
            feed_row(feed, row);
        }
        rd_kafka_poll(feed->host, STEP_MS);
    }
    if (rd_kafka_flush(feed->host, FLUSH_MS_MAX) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        demo_give_up("feeding takes too long");
    }
    return NULL;
}

void demo_feed_begin(struct demo_feed *feed)
{
    if (pthread_create(&feed->feeder, NULL, feed_all, feed) != 0) {
        demo_give_up("can't start a thread");
    }
}

void demo_feed_join(struct demo_feed *feed)
{
    pthread_join(feed->feeder, NULL);
}

void demo_feed_close(struct demo_feed *feed)
{
    rd_kafka_destroy(feed->host); /* the cluster goes with it */
    *feed = (struct demo_feed){0};
}

void demo_feed_watch(struct demo_feed *feed)
{
    rd_kafka_mock_stop_request_tracking(feed->cluster); /* forgets what was counted */
    rd_kafka_mock_start_request_tracking(feed->cluster);
}

size_t demo_feed_watched(struct demo_feed *feed)
{
    size_t count;
    size_t answer = 0;
    rd_kafka_mock_request_t **requests = rd_kafka_mock_get_requests(feed->cluster, &count);

    for (size_t i = 0; i < count; i++) {
        answer += rd_kafka_mock_request_api_key(requests[i]) == API_PRODUCE &&
                  rd_kafka_mock_request_id(requests[i]) == OUTPUT_BROKER;
    }
    rd_kafka_mock_request_destroy_array(requests, count);
    return answer;
}

void demo_feed_unwatch(struct demo_feed *feed)
{
    rd_kafka_mock_stop_request_tracking(feed->cluster);
}
