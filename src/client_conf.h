/* The settings of a client handle, and how memory.max.bytes is divided among them. Main thread. */
#ifndef CLIENT_CONF_H
#define CLIENT_CONF_H

#include "kafka_client.h"

/* How memory.max.bytes is divided: three eighths are for what was fetched and not taken yet, half
 * for what is on its way to the outputs; the rest, and some more, is what an answer, a request and
 * the allocator take on top. */
struct client_fetch {
    int64_t answer; /* the most that a broker sends at once, unless one record is larger */
    int64_t part;   /* and of one partition */
    int64_t queue;  /* a partition with so much in its queue isn't asked for more */
    int64_t all;    /* over all queues, with what a message takes beside its bytes */
};

/* `partitions`: how many are read, 0 = unknown. */
struct client_fetch client_fetch_sizes(const struct config *config, uint32_t partitions);

/* The most that is on its way to the outputs, with what is kept beside the records. */
int64_t client_sink_bytes(const struct config *config);

/* fetch.wait.max.ms of the inputs' consumers, to begin with: client_fetch_wait. */
#define CLIENT_FETCH_WAIT_MS "100"

bool client_conf_produces(enum client_purpose purpose);

/* Everything that a handle for the options' purpose is made with but its callbacks. ERR_SETTINGS
 * names the setting that librdkafka refuses. */
MUST_CHECK bool client_conf_set(rd_kafka_conf_t *conf, const struct config *config,
                                const struct client_options *options, struct err *err);

#endif
