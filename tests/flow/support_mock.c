/* librdkafka's mock cluster for tests. Its fetches don't wake on new data, so the consumers wait
 * only shortly. */
#include "support_mock.h"

#include "client_end.h"
#include "log.h"
#include "mem.h"
#include "wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t stop_at_ms;

static rd_kafka_t *new_producer(const char *servers)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[256];
    rd_kafka_t *producer;

    if (servers != NULL) {
        rd_kafka_conf_set(conf, "bootstrap.servers", servers, text, sizeof(text));
    }
    rd_kafka_conf_set(conf, "linger.ms", "5", text, sizeof(text));
    rd_kafka_conf_set(conf, "log_level", "0", text, sizeof(text));
    producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(producer);
    return producer;
}

struct mock *mock_new(int brokers)
{
    struct mock *mock = mem_zero(sizeof(*mock));
    const char *servers;

    log_set_level(LOG_ERROR);
    mock->host = new_producer(NULL);
    mock->cluster = rd_kafka_mock_cluster_new(mock->host, brokers);
    assert_non_null(mock->cluster);
    servers = rd_kafka_mock_cluster_bootstraps(mock->cluster);
    mock->feeder = new_producer(servers);
    mock->kafka[0] = (struct config_kafka){
        .client = CONFIG_BOTH, .name = "bootstrap.servers", .value = mem_text(servers)};
    mock->kafka[1] = (struct config_kafka){
        .client = CONFIG_CONSUMER, .name = "fetch.wait.max.ms", .value = "10"};
    mock->config = (struct config){
        .job_name = "test",
        .group_id = "test",
        .memory_max_bytes = 32 << 20,
        .fetch_timeout_ms = 10000,
        .request_timeout_ms = 30000,
        .transaction_timeout_ms = 60000,
        .session_timeout_ms = 10000,
        .heartbeat_interval_ms = 3000,
        .max_poll_interval_ms = 3000000,
        .kafka = mock->kafka,
        .kafka_count = 2,
    };
    return mock;
}

void mock_free(struct mock *mock)
{
    client_end_wait();
    rd_kafka_destroy(mock->feeder);
    rd_kafka_mock_cluster_destroy(mock->cluster);
    rd_kafka_destroy(mock->host);
    free(mock->kafka[0].value);
    free(mock);
}

void mock_topic(struct mock *mock, const char *topic, int partitions)
{
    assert_int_equal(rd_kafka_mock_topic_create(mock->cluster, topic, partitions, 1), 0);
}

void mock_feed(struct mock *mock, const char *topic, int32_t partition, int first, int count)
{
    for (int i = 0; i < count; i++) {
        char value[16];
        int size = snprintf(value, sizeof(value), "%d", first + i);

        assert_int_equal(rd_kafka_producev(
                             mock->feeder, RD_KAFKA_VTYPE_TOPIC, topic, RD_KAFKA_VTYPE_PARTITION,
                             partition, RD_KAFKA_VTYPE_VALUE, value, (size_t)size,
                             RD_KAFKA_VTYPE_MSGFLAGS, (int)RD_KAFKA_MSG_F_COPY, RD_KAFKA_VTYPE_END),
                         0);
    }
    assert_int_equal(rd_kafka_flush(mock->feeder, 10000), 0);
}

void mock_away(struct mock *mock, int brokers)
{
    for (int i = 1; i <= brokers; i++) {
        rd_kafka_mock_broker_set_down(mock->cluster, i);
    }
}

void mock_back(struct mock *mock, int brokers)
{
    for (int i = 1; i <= brokers; i++) {
        rd_kafka_mock_broker_set_up(mock->cluster, i);
    }
}

rd_kafka_t *mock_client(struct mock *mock, enum client_purpose purpose)
{
    struct client_options options = {.purpose = purpose};
    rd_kafka_t *client = NULL;
    struct err err = {.kind = ERR_NONE};

    assert_true(client_new(&mock->config, &options, &client, &err));
    return client;
}

struct patience mock_patience(int64_t timeout_ms)
{
    return (struct patience){.timeout_ms = timeout_ms};
}

static bool is_time(void *arg)
{
    return wait_now_ms() >= *(int64_t *)arg;
}

struct patience mock_stop_after(int64_t after_ms)
{
    stop_at_ms = wait_now_ms() + after_ms;
    return (struct patience){.timeout_ms = -1, .stopped = is_time, .arg = &stop_at_ms};
}
