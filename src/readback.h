/* The outputs, read back: from an offset to an end, every record there is, read_uncommitted, from
 * the leader (R4).
 *
 * A reader of its own consumer; made for a recovery, a tail look or a gap, and freed after it. The
 * position ends a read, never a count. Main thread. */
#ifndef READBACK_H
#define READBACK_H

#include "config.h"
#include "err.h"
#include "patience.h"

#include <librdkafka/rdkafka.h>

struct readback_span {
    const char *topic; /* borrowed during the call */
    int32_t partition;
    int64_t from;  /* moves on: first offset not read yet, up to `until` */
    int64_t until; /* the end to read to */
};

struct readback;

/* `committed`: records of aborted and open transactions aren't found; spans end at or below the
 * last stable offset then. */
MUST_CHECK bool readback_new(const struct config *config, bool committed,
                             struct readback **readback_out, struct err *err);
/* The topic will be read: learn of its leaders now (source_expect). */
void readback_expect(struct readback *readback, const char *topic);

void readback_free(struct readback *readback); /* accepts NULL */

/* For each record found: index of its span, the record (borrowed during the call). false with `err`
 * filled ends the reading. */
typedef bool (*readback_found)(void *arg, size_t span, const rd_kafka_message_t *message,
                               struct err *err);

/* Reads every span up to its `until`; may be called again with the spans' `until` moved on, and
 * goes on without assigning anew where the position fits. Long readings log their progress every
 * few seconds. A span that can't be read (from below the log's start, above its end, topic gone)
 * ends it with ERR_DECISION naming topic, partition, offset and log start. Waits for brokers as
 * `patience` allows. */
MUST_CHECK bool readback_read(struct readback *readback, struct readback_span *spans, size_t count,
                              readback_found found, void *arg, const struct patience *patience,
                              struct err *err);

#endif
