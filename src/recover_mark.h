/* Transactional mode: a producer that may begin a transaction, and what the group's marks say then
 * (T2 to T7). */
#ifndef RECOVER_MARK_H
#define RECOVER_MARK_H

#include "err.h"

struct job;

/* The producer that the job has may begin a transaction; else (none yet, tainted, broken) another
 * one is made, which fences those before it and ends their open transaction, and the marks are read
 * and judged:
 *     a batch planned or in doubt   job->slice, job->whole, job->done, job->found: what is there
 *     nothing under way             marks that are behind or absent are written
 * A batch in doubt goes to READ. The producer is kept for as long as nothing goes wrong.
 * ERR_DECISION: the marks say that another ledger, a copy, or a person has been at work. */
MUST_CHECK bool recover_mark_ready(struct job *job, struct err *err);

/* State BROKEN: something went wrong in a transaction. Suspects are noted, the producer is purged
 * and destroyed, and recover_mark_ready does the rest. State READ. */
MUST_CHECK bool recover_mark_broken(struct job *job, struct err *err);

/* Nothing is under way: writes the marks of the last settled batch again, so that the group keeps
 * them. */
MUST_CHECK bool recover_mark_refresh(struct job *job, struct err *err);

/* Ends the producer; an open transaction is aborted within a bounded time when `orderly`. */
void recover_mark_end(struct job *job, bool orderly);

#endif
