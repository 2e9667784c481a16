/* output.provenance=positions: a record of ours is known by its place alone. When that can be (R7),
 * and what a record acknowledged elsewhere than expected means. Pure; any thread.
 *
 *     fence                              end
 *       │ N's 1st │ N's 2nd │ N's 3rd │   ·      an output partition, batch N in doubt:
 *       └────────── the records from the fence on, in their order, and nothing else
 *
 * So each output partition has one input partition as its source and one writer, and nothing takes
 * records or offsets away: no compaction, no transaction markers. The settings are checked by
 * config_finish, the topics here, at start and whenever partitions were counted again; a second
 * writer shows in the offsets. */
#ifndef POSITIONS_H
#define POSITIONS_H

#include "err.h"

#include <stddef.h>

/* An input topic and where it goes, as the brokers describe them. */
struct positions_route {
    const char *input, *output;
    int32_t input_partitions, output_partitions;
    bool input_compacted, output_compacted; /* as far as it is known */
};

/* ERR_DECISION: names the first topic that positions can't be used with, and the way out. */
MUST_CHECK bool positions_check(const struct positions_route *routes, size_t count,
                                struct err *err);

/* Fills err (ERR_DECISION), returns false: offsets [from, until) of an output partition are not
 * this job's, though it should be the only writer. `found`: what was seen there. */
bool positions_refuse(const char *topic, int32_t partition, int64_t from, int64_t until,
                      const char *found, struct err *err);

#endif
