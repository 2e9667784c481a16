/* The inputs, read exactly: for each partition of a batch the records of [from, until), in order,
 * no more and no less.
 *
 * A queue per partition, one eventfd for all, and one consumer, unless source_retry has put a
 * partition into the hands of another. What was prefetched or taken beyond `until` is kept for the
 * next batch. A range is done when any holds: the last record taken is
 * until − 1 | a record ≥ until arrived | the position is ≥ until | the end of the partition was met
 * at ≥ until | nothing moves though the log's end is ≥ until, and a
 * fresh consumer finds nothing either (compacted tail).
 *
 *     source_new → source_begin → (source_take… source_retry… source_tidy…) until every range is
 *     done → source_begin … → source_free
 *
 * Every message taken must be destroyed (rd_kafka_message_destroy) before source_free. Main
 * thread. */
#ifndef SOURCE_READ_H
#define SOURCE_READ_H

#include "batch.h"
#include "config.h"
#include "err.h"

#include <librdkafka/rdkafka.h>

enum {
    SOURCE_STALL_MS = 5000
}; /* so long nothing moves before one looks; at most half of
                                    fetch.timeout.ms */

struct source;

/* Makes the consumer; doesn't wait for a broker. */
MUST_CHECK bool source_new(const struct config *config, uint32_t partitions,
                           struct source **source_out, struct err *err);

/* The same over outputs (purpose CLIENT_OUTPUT): read_uncommitted, from the leader. */
MUST_CHECK bool source_new_outputs(const struct config *config, bool committed, uint32_t partitions,
                                   struct source **source_out, struct err *err);

/* The topic will be read: the client asks for its leaders now, not when it is assigned (which would
 * take up to 1 s, its next look at what it lacks). */
void source_expect(struct source *source, const char *topic);

/* Accepts NULL. */
void source_free(struct source *source);

/* Readable when records may have arrived for a partition whose queue was empty. source_take drains
 * it whichever range it is called for: when it was readable, call source_take for every range that
 * isn't done. */
int source_fd(const struct source *source);

/* All ranges of the batch are done: what comes is fetched ahead at a slower pace, unless the next
 * batch follows at once (interval 0). */
void source_batch_read(struct source *source);

/* Where a partition goes on. */
struct source_place {
    const char *topic; /* borrowed */
    int32_t partition;
    int64_t offset;
    int32_t leader_epoch;
};

/* No partition has anything to read. `places` are those of the next batch: if there is memory for
 * all, those that aren't read are entered, and each waits at its end at little cost, until
 * source_begin. */
MUST_CHECK bool source_rest(struct source *source, const struct source_place *places, size_t count,
                            struct err *err);
bool source_rests(const struct source *source);

/* At rest, `count` partitions are read, and no answer has told of anything behind what was read. */
bool source_is_still(const struct source *source, size_t count);

/* How long a wait for records may be: `most`, or less when something is to be looked at sooner. */
int source_wait_ms(const struct source *source, int most);

/* Where the log of ranges[index] begins, asked of its leader (up to 2 s); −1 = no answer. */
int64_t source_log_start(struct source *source, size_t index);

/* A batch begins: `ranges` (borrowed until the next source_begin or source_free; topics are found
 * through `definition`, borrowed likewise) are what is read now. A partition already being read
 * goes on from its kept records when its position is the range's `from`; else it is assigned at
 * `from` with its leader epoch. Partitions of earlier batches that are not in this one stay
 * assigned and keep what they hold (bounded by the queue limits). */
MUST_CHECK bool source_begin(struct source *source, const struct definition *definition,
                             const struct range *ranges, size_t count, struct err *err);

/* Why a range can't be read on: the caller decides (retention, truncation), then calls source_skip
 * or gives up. */
enum source_trouble {
    SOURCE_FINE,
    SOURCE_OUT_OF_RANGE, /* position is below the log's start, or above its end */
    SOURCE_TRUNCATED, /* the leader's log diverged from the epoch we have read (unclean election) */
};

struct source_taken {
    size_t count; /* messages put into the array */
    bool done;    /* the range has ended; no message will come for it */
    bool stalled; /* it ended by the stall rule */
    /* Nothing was there, and it is the broker's turn: neither has the topic been reported missing,
     * nor has the leader just answered that there may be nothing (a compacted tail). */
    bool waiting;
    enum source_trouble trouble;
    bool moved; /* the position has passed what can't be read (transaction markers, aborted data) */
    int64_t position; /* first offset not taken yet; where a stalled range stalled */
    char text[256];   /* with trouble: librdkafka's words */
};

/* Takes what is there for ranges[index], at most `max` messages, without waiting. All of them lie
 * in [max(from, position), until). Errors other than trouble: ERR_TEMPORARY never (librdkafka tries
 * again by itself), ERR_DECISION (not permitted, topic gone), ERR_SETTINGS. */
MUST_CHECK bool source_take(struct source *source, size_t index, rd_kafka_message_t **messages,
                            size_t max, struct source_taken *taken_out, struct err *err);

/* The caller goes on with ranges[index] alone for now: when there is memory for so many only and it
 * isn't among them, it takes the place of another. Who asks for all ranges in turn has no use for
 * this: each gets its turn by itself. */
MUST_CHECK bool source_want(struct source *source, size_t index, struct err *err);

/* A reading that gets nothing begins again: the ranges of these `indexes` leave their consumer and
 * are read on from their positions by a fresh one, which they share. When no consumer can be made
 * (logged) they stay where they are. Only while source_can_retry. */
MUST_CHECK bool source_retry(struct source *source, const size_t *indexes, size_t count,
                             struct err *err);

/* false while consumers that were left for fresh ones are too many: wait for source_tidy, and for
 * those that end. */
bool source_can_retry(const struct source *source);

/* A consumer that nothing is read through any more can't end before every message taken from it is
 * destroyed. source_has_retired: there is one. source_tidy: the caller holds no message, neither
 * has the sink any: they end, on the side. */
bool source_has_retired(const struct source *source);
void source_tidy(struct source *source);

/* Goes on at `offset` (≥ position; the same one after trouble: fetches again) in ranges[index]:
 * what lies between is lost, or known to be delivered. What is kept from there on stays. At or
 * beyond `until` the range is done. */
MUST_CHECK bool source_skip(struct source *source, size_t index, int64_t offset, struct err *err);

/* First offset of ranges[index] that wasn't taken yet. */
int64_t source_position(const struct source *source, size_t index);

/* Leader epoch of the last record taken from ranges[index]; the range's own when none was. When no
 * record stands at the end of a range that is done (transaction markers, aborted data), the range's
 * end_epoch. */
int32_t source_leader_epoch(const struct source *source, size_t index);

#endif
