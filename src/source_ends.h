/* Where logs begin and end: one question for many partitions, on a handle that isn't fetching.
 *
 * ends_ask sends (Admin ListOffsets, a request for a hundred partitions of a broker), ends_wait
 * collects; between the two the caller may do other things. A partition's error stands in its
 * answer. Main thread. */
#ifndef SOURCE_ENDS_H
#define SOURCE_ENDS_H

#include "err.h"
#include "patience.h"

#include <librdkafka/rdkafka.h>

enum ends_of {
    ENDS_FIRST,     /* log start offset */
    ENDS_COMMITTED, /* last stable offset */
    ENDS_LAST,      /* high watermark */
    /* first offset with a timestamp at or after time_ms; the high watermark if there is none */
    ENDS_TIME,
};

struct ends_item {
    const char *topic; /* borrowed until ends_free */
    int32_t partition;
    int64_t time_ms;           /* ENDS_TIME */
    int64_t offset;            /* the answer */
    int32_t leader_epoch;      /* the answer's, −1 = unknown */
    rd_kafka_resp_err_t error; /* of this partition; offset is set only when it is NO_ERROR */
};

struct ends;

/* Asks for all `items` (borrowed, no partition twice) in one go. count may be 0. */
struct ends *ends_ask(rd_kafka_t *client, enum ends_of of, struct ends_item *items, size_t count);

/* Waits at most timeout_ms; *done_out tells whether the answer is there and in the items. A
 * question that failed as a whole (no broker) is ERR_TEMPORARY; ask again. */
MUST_CHECK bool ends_wait(struct ends *ends, int timeout_ms, bool *done_out, struct err *err);

/* Accepts NULL. A question still under way is forgotten. */
void ends_free(struct ends *ends);

/* Asks and waits, and asks again with back-off while the trouble is temporary (whole question or
 * single partitions), logging once when it lasts. Other errors of a partition (unknown topic after
 * 30 s, not permitted) end it: the error names topic and partition. */
MUST_CHECK bool ends_get(rd_kafka_t *client, enum ends_of of, struct ends_item *items, size_t count,
                         const struct patience *patience, struct err *err);

#endif
