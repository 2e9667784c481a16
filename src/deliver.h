/* A batch's records, from the source through the pipeline to the sink, until every one is
 * acknowledged. */
#ifndef DELIVER_H
#define DELIVER_H

#include "err.h"

struct job;

/* The batch in job->batch is planned (or read back after a crash): prepares reading and sending
 * what isn't delivered yet by job->delivered. As long as the plan may not be on the disk
 * (job->unsynced), the sink holds what it is given. */
MUST_CHECK bool deliver_begin(struct job *job, struct err *err);

/* Until every record is acknowledged. ERR_PRODUCER: the sink is broken, recover. ERR_FORCED:
 * stopped. Others end the process. */
MUST_CHECK bool deliver_run(struct job *job, struct err *err);

/* Frees what deliver_begin made; messages not handed over are dropped. The sink may still hold
 * others: end it first when it is broken. */
void deliver_end(struct job *job);

/* The sink of a mode, for the outputs of the batch under way or of the next one. The job must have
 * none. */
MUST_CHECK bool deliver_make_sink(struct job *job, bool transactional, struct err *err);

/* What is delivered becomes durable, so that a recovery needn't look at it again (R8;
 * transactional: after a slice that isn't the last). */
MUST_CHECK bool deliver_checkpoint(struct job *job, struct err *err);

/* The sink is broken, but nothing of it can arrive later: a new one takes its place in
 * mid-batch. */
MUST_CHECK bool deliver_replace_sink(struct job *job, struct err *err);

#endif
