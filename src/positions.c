/* When a record can be known by its place alone (R7). */
#include "positions.h"

#include <inttypes.h>
#include <stdio.h>

static const char WAY_OUT[] = "use output.provenance=headers, or other topics";

static bool check_compacted(const char *kind, const char *topic, bool compacted, struct err *err)
{
    return !compacted ||
           err_set(
               err, ERR_DECISION, 0,
               "output.provenance=positions: %s '%s' is compacted, which takes records away, so "
               "that places say nothing; %s",
               kind, topic, WAY_OUT);
}

static bool check_route(const struct positions_route *route, struct err *err)
{
    if (route->output_partitions < route->input_partitions) {
        return err_set(err, ERR_DECISION, 0,
                       "output.provenance=positions: output '%s' has %" PRId32
                       " partitions, fewer than the %" PRId32
                       " of its input '%s', so that some would have two sources; add partitions to "
                       "'%s', or use output.provenance=headers",
                       route->output, route->output_partitions, route->input_partitions,
                       route->input, route->output);
    }
    return check_compacted("input", route->input, route->input_compacted, err) &&
           check_compacted("output", route->output, route->output_compacted, err);
}

bool positions_check(const struct positions_route *routes, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!check_route(&routes[i], err)) {
            return false;
        }
    }
    return true;
}

bool positions_refuse(const char *topic, int32_t partition, int64_t from, int64_t until,
                      const char *found, struct err *err)
{
    char which[64];

    if (until - from == 1) {
        snprintf(which, sizeof(which), "offset %" PRId64 " isn't", from);
    } else {
        snprintf(which, sizeof(which), "offsets %" PRId64 " to %" PRId64 " aren't", from,
                 until - 1);
    }
    return err_set(err, ERR_DECISION, 0,
                   "output '%s'[%" PRId32 "]: %s this job's: %s; output.provenance=positions is "
                   "for topics that nobody else writes to, with or without transactions: end the "
                   "other writer",
                   topic, partition, which, found);
}
