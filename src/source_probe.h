/* Is there nothing at all in [from, until)? Asked of a fresh consumer of its own, when a range
 * doesn't end though the log goes on (a compacted tail leaves neither a record nor an end there).
 * Main thread. */
#ifndef SOURCE_PROBE_H
#define SOURCE_PROBE_H

#include "kafka_client.h"

struct source_probe;

enum source_probe_answer {
    PROBE_UNKNOWN,  /* not yet */
    PROBE_ANSWERED, /* the leader has answered, and so far there is nothing */
    PROBE_EMPTY,    /* it has answered for long enough: there is nothing */
    PROBE_RECORDS,  /* there is something, maybe aborted data: the reader it was asked for is stuck,
                       or passes over that */
};

/* NULL when no consumer could be made. */
struct source_probe *source_probe_new(const struct config *config, const char *topic,
                                      int32_t partition, int64_t from, int64_t until);
void source_probe_free(struct source_probe *probe); /* accepts NULL */

/* Doesn't wait; call it again and again. */
enum source_probe_answer source_probe_step(struct source_probe *probe);

#endif
