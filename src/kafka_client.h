/* Client handles of librdkafka: made from the settings, each for one purpose, and ended within a
 * bounded time.
 *
 * What the protocol fixes is set in client_conf.c and nowhere else (R1: one request of a
 * partition in flight; acks=all, idempotence, gapless, no message time-out). Main thread, but for
 * the log callback. */
#ifndef KAFKA_CLIENT_H
#define KAFKA_CLIENT_H

#include "config.h"
#include "err.h"

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

enum client_purpose {
    /* consumer of the inputs: isolation.level as set, assign() only, auto.offset.reset=error */
    CLIENT_INPUT,
    CLIENT_OUTPUT, /* consumer that reads outputs back: read_uncommitted, leader only (R4) */
    /* asks offsets, marks, metadata, topic ids, configs; neither fetches nor produces */
    CLIENT_ASK,
    CLIENT_SINK,             /* idempotent producer (R1) */
    CLIENT_TRANSACTIONS,     /* transactional producer */
    CLIENT_OUTPUT_COMMITTED, /* as CLIENT_OUTPUT, read_committed: aborted records are no evidence */
};

struct client_options {
    enum client_purpose purpose;
    /* producers: batch.size unless the user's is smaller; ≤ the smallest max.message.bytes;
     * 0 = as the user or librdkafka has it */
    size_t batch_bytes_max;
    /* CLIENT_INPUT: how many will be read at once: the memory is divided by it; 0 = unknown */
    uint32_t partitions;
    void (*delivered)(rd_kafka_t *, const rd_kafka_message_t *, void *); /* producers */
    void *opaque;
    /* CLIENT_TRANSACTIONS: set, by broker threads, when a request of a transaction had no clean
     * answer, though the library sends it again (T2); must outlive the handle. NULL elsewhere */
    atomic_bool *tainted;
};

/* Doesn't wait for a broker. A setting that librdkafka refuses is ERR_SETTINGS and names it. */
MUST_CHECK bool client_new(const struct config *config, const struct client_options *options,
                           rd_kafka_t **client_out, struct err *err);

/* Of a consumer of the inputs: how long a leader may keep its Fetch requests, from the next one on,
 * while they have nothing to bring. No effect when fetch.wait.max.ms isn't the 100 that it is
 * without a user's, or with a librdkafka that has no such call. */
void client_fetch_wait(rd_kafka_t *consumer, int wait_ms);

/* Of a producer: nothing that is produced from now on is sent before the call with false. Only with
 * a librdkafka that can do so. */
bool client_can_hold(void);
void client_hold(rd_kafka_t *producer, bool hold);

/* Destroys the handle under the watchdog; every queue, topic and list taken from it must be gone.
 * Accepts NULL. */
void client_free(rd_kafka_t *client, const char *what);

/* What an error code means for the caller: ERR_TEMPORARY (transport, log-in, leaders, coordinators,
 * time-outs), ERR_SETTINGS (not a topic's name), ERR_DECISION (not permitted), ERR_CONTENT (the
 * record itself), ERR_FAILED. */
enum err_kind client_err_kind(rd_kafka_resp_err_t code);

/* What a person must do about a missing permission, to be put behind the words of the error; ""
 * for any other code. */
const char *client_err_way_out(rd_kafka_resp_err_t code);

/* A broker has answered: from now on a log-in that fails is tried again, not refused. Any
 * thread. */
void client_served(void);

/* false with ERR_SETTINGS when a log-in failed (wrong password, unknown CA, …) before any broker
 * answered in this process. Error events are seen when the handle is polled. Any thread. */
MUST_CHECK bool client_check_login(struct err *err);

/* The latest complaint of any client (all brokers down, log-in failed, …) for status lines; "" =
 * none. At most `size` bytes are written. Any thread. */
void client_last_trouble(char *text, size_t size);

/* The client libraries' versions, for --version and the first log line. */
const char *client_versions(void);

#endif
