/* The group's mark: the job's settled offsets as commits of its Kafka group, with a text that says
 * who wrote them (T4, O2; mark_text.h).
 *
 * A mark is written by a small machine that never waits:
 *
 *     idle ─mark_begin→ reading the old mark ─ours or absent→ writing ─acknowledged→ idle
 *                          │                                     └ temporary trouble: again, later
 *                          └ another incarnation or ledger: ERR_DECISION
 *
 * Main thread. */
#ifndef MARK_H
#define MARK_H

#include "err.h"
#include "mark_text.h"
#include "patience.h"

#include <librdkafka/rdkafka.h>

struct mark_item {
    const char *topic; /* borrowed */
    int32_t partition;
    int64_t offset; /* committed offset, −1 = none */
    bool ours;      /* the metadata is a mark; `text` says which (of any ledger) */
    struct mark_text text;
};

enum mark_reading {
    MARK_AS_IT_IS, /* what is committed now, whatever is pending */
    MARK_STABLE,   /* waits until no transaction has offsets pending (T5) */
};

/* Reads the group's offsets for the given partitions (topic, partition set by the caller). */
MUST_CHECK bool mark_read(rd_kafka_t *ask, const char *group, enum mark_reading reading,
                          struct mark_item *items, size_t count, const struct patience *patience,
                          struct err *err);

struct mark_writer;

struct mark_writer *mark_writer_new(rd_kafka_t *ask, const char *group, const char *uuid,
                                    const char *incarnation);
void mark_writer_free(struct mark_writer *writer); /* accepts NULL; forgets what is under way */

/* Begins to write the mark of a settled batch: all partitions with their next offsets (copied). The
 * writer must be idle. `accept_any_incarnation`: the first mark of this process, when the old one
 * is of an earlier start of this ledger. */
void mark_begin(struct mark_writer *writer, int64_t batch, const struct mark_item *items,
                size_t count, bool accept_any_incarnation);

/* Moves on as far as it can without waiting; call it often (every pass of the loop, and on
 * mark_fd). ERR_DECISION: another incarnation or ledger wrote the mark (names both), or a consumer
 * group with members uses the group. */
MUST_CHECK bool mark_step(struct mark_writer *writer, struct err *err);
bool mark_idle(const struct mark_writer *writer);
int64_t mark_written(const struct mark_writer *writer); /* last batch acknowledged, 0 = none */

/* True once after offsets were found that no mark accompanies: somebody moved the group. */
bool mark_moved(struct mark_writer *writer);

/* Readable when mark_step has something to do (a back-off timer isn't covered: call at least every
 * 100 ms). */
int mark_fd(const struct mark_writer *writer);

#endif
