/* librdkafka's mock cluster in the test's own process, and a configuration that points to it. */
#ifndef SUPPORT_MOCK_H
#define SUPPORT_MOCK_H

#include "config.h"
#include "kafka_client.h"
#include "patience.h"

#include <librdkafka/rdkafka_mock.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct mock {
    rd_kafka_t *host; /* a producer that the cluster lives in, and that feeds the topics */
    rd_kafka_mock_cluster_t *cluster;
    rd_kafka_t *feeder;
    struct config_kafka kafka[3];
    struct config config;
};

struct mock *mock_new(int brokers);
void mock_free(struct mock *mock);

void mock_topic(struct mock *mock, const char *topic, int partitions);

/* Writes `count` records whose values are "first", "first + 1", …; returns when they are
 * acknowledged. */
void mock_feed(struct mock *mock, const char *topic, int32_t partition, int first, int count);

/* All brokers go or come back. */
void mock_away(struct mock *mock, int brokers);
void mock_back(struct mock *mock, int brokers);

/* A client, or the test fails. */
rd_kafka_t *mock_client(struct mock *mock, enum client_purpose purpose);

/* Patience that lasts `timeout_ms`, and one that is asked to stop `after_ms` from now. */
struct patience mock_patience(int64_t timeout_ms);
struct patience mock_stop_after(int64_t after_ms);

#endif
