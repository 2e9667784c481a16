/* How long fetch.max.records records take at the rate that is measured, for the relation with
 * session.timeout.ms (an advice of those who know Kafka's groups: what one poll gives should be
 * worked off within a session). Pure. */
#ifndef PACE_H
#define PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
    int64_t records; /* of the last batches that took a while */
    int64_t ms;      /* and their processing */
    bool told;
};

/* A batch was settled. True once in the struct's life: `most` records take session_ms or longer at
 * the rate of the last batches, *rate_out records/s. Batches of less than a second say nothing of
 * the rate: the job isn't busy. */
bool pace_batch(struct pace *pace, int64_t records, int64_t processing_ms, int64_t most,
                int64_t session_ms, double *rate_out);

#endif
