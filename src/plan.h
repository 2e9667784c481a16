/* The next plan: prepared, stored, and put under way. Main thread. */
#ifndef PLAN_H
#define PLAN_H

#include "batch.h"
#include "err.h"
#include "rate_estimate.h"

struct job;

/* State IDLE and the tick is due: takes it and plans what is there. State PLANNED afterwards, or
 * IDLE when there was nothing to read. */
MUST_CHECK bool plan_make(struct job *job, struct err *err);

/* Its parts, for a plan that shares a transaction with the settlement before it. */

/* The plan for the due tick, with the rate's state as `estimate` by then; *made_out is false when
 * there is nothing to read, when a stop was asked for meanwhile (the plan is dropped), or when,
 * with wait_ms ≥ 0, the ends don't come within it (the tick isn't taken then). */
MUST_CHECK bool plan_prepare(struct job *job, const struct rate_estimate *estimate, int wait_ms,
                             struct batch *batch, bool *made_out, struct err *err);

/* [txn] Steps of a transaction; arg is the struct batch. */
MUST_CHECK bool plan_store(struct job *job, void *arg, struct err *err);

/* The plan is durable: it is the batch under way. Takes what the struct holds. */
void plan_adopt(struct job *job, struct batch *batch);

#endif
