/* Records out, acknowledgements in (R1, R2, C1), in both delivery modes.
 *
 *     sink_new → sink_batch → sink_add… / sink_poll… → (sink_drain) → next sink_batch … → sink_free
 *
 * One idempotent producer, one request of a partition in flight (transactional: up to 5, by
 * setting). A record is handed over without copying its value; its cookie comes back through
 * `owner.release` exactly once: acknowledged, failed or purged. An acknowledgement with a valid
 * offset is noted in the batch's `delivered` table and in the outputs; anything else makes the sink
 * *broken*: it takes no more, and the caller replaces it (sink_free, recovery, sink_new). Main
 * thread. */
#ifndef SINK_H
#define SINK_H

#include "config.h"
#include "delivered.h"
#include "err.h"
#include "outputs.h"
#include "patience.h"

#include <librdkafka/rdkafka.h>

struct sink;

struct sink_origin {
    size_t range;   /* of the batch */
    int64_t offset; /* of the input record */
    int32_t index;  /* which of its outputs */
};

struct sink_owner {
    void (*origin)(void *arg, const void *cookie, struct sink_origin *origin_out);
    void (*release)(void *arg, void *cookie);
    void *arg;
};

struct sink_record {
    size_t output;   /* index into the outputs */
    const void *key; /* NULL = null key */
    size_t key_size;
    const void *value; /* NULL = null value; must live until its release */
    size_t value_size;
    int64_t timestamp_ms;
    rd_kafka_headers_t
        *headers; /* NULL = none but ours; passes to the sink when SINK_TAKEN, and only then */
    bool headers_complete;  /* false at first; the sink's notes: ours are among them, */
    bool foreign_headers;   /* … and so are others */
    const char *provenance; /* value of our header, put last; NULL = none */
    size_t provenance_size;
    const char *reason; /* NULL, or why it goes to an error topic: header oncesink.error */
    void *cookie;       /* an even address: the sink keeps a note in the lowest bit */
};

enum sink_answer {
    SINK_TAKEN,
    SINK_FULL, /* poll, then the same record again */
    /* the record itself can't be sent; nothing was handed over; err is filled (ERR_CONTENT) */
    SINK_REFUSED,
    SINK_BROKEN, /* err is filled as by sink_check */
};

/* A source's records to one output partition, between two offsets, that were in a request refused
 * for content: each is sent alone until the culprit is known. */
struct sink_suspect {
    size_t range, output;
    int64_t from, until; /* lowest and highest offset that was refused */
};

struct sink_options {
    const struct config *config;
    struct outputs *outputs; /* may grow; indexes stay */
    size_t batch_bytes_max;  /* 0 = default */
    bool transactional;      /* records are added within a transaction only (transaction.h) */
};

MUST_CHECK bool sink_new(const struct sink_options *options, struct sink **sink_out,
                         struct err *err);

/* Takes back what is queued and in flight: every cookie is released, and what was refused is among
 * the suspects. The sink is good for nothing but sink_free afterwards. */
void sink_purge(struct sink *sink);

/* Purges what is queued and in flight, gives every cookie back and destroys the producer, under the
 * watchdog. */
void sink_free(struct sink *sink);

/* The batch whose acknowledgements come now, and whose the cookies are. Nothing may be in flight.
 * `delivered` is borrowed. */
void sink_batch(struct sink *sink, struct delivered *delivered, const struct sink_owner *owner);

/* err is filled for SINK_REFUSED and SINK_BROKEN. */
enum sink_answer sink_add(struct sink *sink, struct sink_record *record, struct err *err);

/* What is added from now on stays here until sink_let_go: nothing of it is sent, and neither
 * sink_flush nor sink_drain may be called. Nothing may be in flight. Only if client_can_hold. */
void sink_hold(struct sink *sink);
void sink_let_go(struct sink *sink); /* does nothing when nothing is held */

/* Serves acknowledgements, waiting at most timeout_ms for the first. */
void sink_poll(struct sink *sink, int timeout_ms);

/* Sends what lingers, serves acknowledgements for at most timeout_ms, returns early when none is
 * missing. */
void sink_flush(struct sink *sink, int timeout_ms);

uint64_t sink_in_flight(const struct sink *sink);

/* false when the sink is broken: says which partition and why. ERR_PRODUCER, or ERR_DECISION where
 * a permission is missing, which no new producer has either, or where somebody else writes to a
 * partition that is ours alone (outputs' `positions`). */
MUST_CHECK bool sink_check(const struct sink *sink, struct err *err);

/* Waits until nothing is in flight, the sink is broken, or patience ends. */
MUST_CHECK bool sink_drain(struct sink *sink, const struct patience *patience, struct err *err);

/* For a broken sink: the first failure was the content of a record, and every record has a definite
 * answer (acknowledged, or refused): nothing can arrive later, so no settle wait is needed. */
bool sink_broken_by_content(const struct sink *sink);
bool sink_drained(const struct sink *sink);

/* The suspects of a sink broken by content, of the caller's to free. */
struct sink_suspect *sink_suspects(const struct sink *sink, size_t *count_out);

/* Transactional: a request of this producer that belongs to a transaction had no clean answer,
 * though the library may have sent it again with success: a copy may be executed later, so the
 * producer is replaced before the next transaction begins (T2). */
bool sink_tainted(const struct sink *sink);

/* Transactional: the broker has fenced this producer: another one took its place, or its
 * transaction expired (T6). */
bool sink_fenced(const struct sink *sink);

/* For transaction.c. */
rd_kafka_t *sink_producer(const struct sink *sink);

/* Readable when acknowledgements may have come. */
int sink_fd(const struct sink *sink);

#endif
