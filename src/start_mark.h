/* The group's mark at start: read and judged (O2, O4). Main thread. */
#ifndef START_MARK_H
#define START_MARK_H

#include "err.h"
#include "protocol.h"

struct job;

/* ERR_DECISION: another ledger, a stale one, a copy. job->facts knows the inputs' partitions. */
MUST_CHECK bool start_mark(struct job *job, struct err *err);

/* ERR_DECISION in words, for OTHER_LEDGER, AHEAD and COPY. Returns false. */
bool start_mark_refuse(const struct job *job, enum mark_verdict verdict,
                       const struct mark_text *mark, struct err *err);

/* Offsets that no mark accompanies will be written again: a warning and an event. */
MUST_CHECK bool start_mark_foreign(struct job *job, struct err *err);

#endif
