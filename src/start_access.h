/* Whether the job's user may do what the job will do, asked before the first output. Main
 * thread. */
#ifndef START_ACCESS_H
#define START_ACCESS_H

#include "err.h"

struct job;

/* ERR_DECISION: names every right on a topic that is missing. What the brokers haven't told yet, or
 * don't tell, is no reason to stop: a request that isn't allowed will. Judged once, at the first
 * call that finds the answer. */
MUST_CHECK bool start_access(struct job *job, struct err *err);

/* The same, asked anew: a transaction that failed doesn't say why. Waits a moment for the
 * answer. */
MUST_CHECK bool start_access_again(struct job *job, struct err *err);

#endif
