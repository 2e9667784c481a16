/* The demo's Kafka and what is fed into it: librdkafka's mock cluster in this process, with an
 * input topic that grows and an output topic that answers slowly, so that a batch lasts long enough
 * to be watched. Errors end the process (demo_give_up). Main thread, but for the feeder's own. */
#ifndef DEMO_FEED_H
#define DEMO_FEED_H

#include "demo_reader.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

enum {
    DEMO_PARTITIONS = 3,
    DEMO_BACKLOG = 2000,   /* records of a partition that are there at once */
    DEMO_FEED_RATE = 1000, /* records/s and partition, after that */
    DEMO_FEED_S = 13,
};

struct demo_feed {
    rd_kafka_t *host; /* feeds, and carries the cluster */
    rd_kafka_mock_cluster_t *cluster;
    struct demo_topics topics;
    pthread_t feeder;
    atomic_llong fed; /* records that are in the input topic */
};

/* Makes the cluster and both topics; feeds nothing yet. */
void demo_feed_open(struct demo_feed *feed);

/* Begins to feed, in a thread of its own; demo_feed_join returns when it is done. */
void demo_feed_begin(struct demo_feed *feed);
void demo_feed_join(struct demo_feed *feed);

void demo_feed_close(struct demo_feed *feed);

/* Counts from here on the requests that bring records to the output topic. */
void demo_feed_watch(struct demo_feed *feed);
size_t demo_feed_watched(struct demo_feed *feed);
void demo_feed_unwatch(struct demo_feed *feed);

#endif
