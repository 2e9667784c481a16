/* The group's mark at start: read and judged (O2, O4). Main thread. */
#ifndef START_MARK_H
#define START_MARK_H

#include "err.h"

struct job;

/* ERR_DECISION: another ledger, a stale one, a copy. job->facts knows the inputs' partitions. */
MUST_CHECK bool start_mark(struct job *job, struct err *err);

#endif
