/* What limits a job's batches: the settings and the estimator's state, brought together for the
 * split (rate_split.c). The state itself is job->estimate; it changes only once the settling that
 * carries it is durable. Main thread. */
#ifndef THROTTLE_H
#define THROTTLE_H

#include "err.h"
#include "ledger.h"
#include "rate_split.h"

struct job;

/* The ledger is open: loads the state, and says what a new ledger's first batch will take. */
MUST_CHECK bool throttle_open(struct job *job, struct err *err);

/* The inputs are known: warns of caps for partitions that aren't there, and of partitions that give
 * next to nothing or nothing. */
void throttle_warn_of_caps(const struct job *job);

/* For a plan that begins at `started_ms`, with the estimator's state as it is then. */
struct rate_split throttle_split(const struct job *job, const struct rate_estimate *estimate,
                                 int64_t started_ms);

/* The state once the batch under way is settled so; false: it doesn't count, and *estimate_out is
 * what there was. */
bool throttle_count(const struct job *job, const struct ledger_settlement *settlement,
                    struct rate_estimate *estimate_out);

#endif
