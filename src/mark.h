/* The group's mark: the job's settled offsets as commits of its Kafka group, with a text that says who wrote them
 * (protocol.md T4, O2): `UUID/INCARNATION/MODE/BATCH/SLICE/SLICES`; idempotent marks have 1/1.
 *
 * mark_text_* are pure. A mark is written by a small machine that never waits:
 *
 *     idle ─mark_begin→ reading the old mark ─ours or absent→ writing ─acknowledged→ idle
 *                          └ another incarnation or ledger: ERR_DECISION        └ temporary trouble: again, with back-off
 *
 * Main thread. */
#ifndef MARK_H
#define MARK_H

#include "batch.h"
#include "err.h"
#include "patience.h"

#include <librdkafka/rdkafka.h>

enum { MARK_TEXT_SIZE = 128 };

struct mark_text {
    char uuid[UUID_SIZE];
    char incarnation[INCARNATION_SIZE];
    enum delivery delivery;
    int64_t batch;
    int64_t slice;
    int64_t slices;
};

/* Writes the text with its end; MARK_TEXT_SIZE always suffices. */
void mark_text_format(const struct mark_text *mark, char text[MARK_TEXT_SIZE]);

/* false for any text that mark_text_format doesn't write, the empty one included. */
bool mark_text_parse(const char *text, struct mark_text *mark_out);

struct mark_item {
    const char *topic; /* borrowed */
    int32_t partition;
    int64_t offset;    /* committed offset, −1 = none */
    bool ours;         /* the metadata is a mark; `text` says which (of any ledger) */
    struct mark_text text;
};

/* Reads the group's offsets for the given partitions (topic, partition set by the caller). */
MUST_CHECK bool mark_read(rd_kafka_t *ask, const char *group, struct mark_item *items, size_t count,
                          const struct patience *patience, struct err *err);

struct mark_writer;

struct mark_writer *mark_writer_new(rd_kafka_t *ask, const char *group, const char *uuid, const char *incarnation);
void mark_writer_free(struct mark_writer *writer); /* accepts NULL; forgets what is under way */

/* Begins to write the mark of a settled batch: all partitions with their next offsets (copied). The writer must be idle.
 * `accept_any_incarnation`: the first mark of this process, when the old one is of an earlier start of this ledger. */
void mark_begin(struct mark_writer *writer, int64_t batch, const struct mark_item *items, size_t count,
                bool accept_any_incarnation);

/* Moves on as far as it can without waiting; call it often (every pass of the loop, and on mark_fd). ERR_DECISION:
 * another incarnation or ledger wrote the mark (names both), or a consumer group with members uses the group. */
MUST_CHECK bool mark_step(struct mark_writer *writer, struct err *err);
bool mark_idle(const struct mark_writer *writer);
int64_t mark_written(const struct mark_writer *writer); /* last batch acknowledged, 0 = none */
bool mark_moved(struct mark_writer *writer); /* true once after offsets were found that we didn't write */

/* Readable when mark_step has something to do (a back-off timer isn't covered: call at least every 100 ms). */
int mark_fd(const struct mark_writer *writer);

#endif
