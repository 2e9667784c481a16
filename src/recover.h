/* What was found → what to do, and doing it: outputs read back after a crash or with a producer
 * whose outcome is unknown, tails looked through at start, gaps looked at (R2 to R5, R8, O3,
 * O4). */
#ifndef RECOVER_H
#define RECOVER_H

#include "err.h"

struct delivered;
struct job;

/* Puts what the batch's checkpoint says into the table (job->outputs has every partition that it
 * names). */
void recover_seed(const struct job *job, struct delivered *delivered);

/* At start, with a batch in doubt: the reader of its outputs connects while other things are
 * asked. */
MUST_CHECK bool recover_prepare(struct job *job, struct err *err);

/* At start, job->outputs being arranged and the ledger's rows known: looks through the tail of
 * every output that this process hasn't looked at (transactional: learns its end only, the mark
 * tells the rest), and, with an unsettled batch (state IN_DOUBT),
 * waits as R3 says and reads it back (state READ). ERR_DECISION: stale ledger, a copy, another
 * ledger, an output shorter than expected. */
MUST_CHECK bool recover_look(struct job *job, struct err *err);

/* Transactional, with a batch in doubt (state IN_DOUBT), whatever the mark says: its outputs are
 * the topics that they were, and no shorter (R8). */
MUST_CHECK bool recover_judge_outputs(struct job *job, struct err *err);

/* Transactional, and the group carries no mark: what the outputs say, read_committed (O3, O4). A
 * batch in doubt: job->delivered learns what of it is there. ERR_DECISION as above, and when a
 * batch is in doubt and the outputs hold no record of this job that would show that its records can
 * be told. */
MUST_CHECK bool recover_ask_outputs(struct job *job, struct err *err);

/* What the broken sink holds of suspects is noted in the job. */
void recover_keep_suspects(struct job *job);

/* In the running process, state BROKEN: suspects are noted, the producer is purged and destroyed,
 * the settle wait passes, the outputs are read back. State READ afterwards. */
MUST_CHECK bool recover_broken(struct job *job, struct err *err);

/* A broken sink all of whose answers are known is replaced at once: nothing of it can arrive later.
 * A sink that isn't broken is kept. */
MUST_CHECK bool recover_replace_drained(struct job *job, struct err *err);

/* Before a recovered batch is settled: reads from fence to end once more; what is there twice
 * becomes an event. State CHECKED. */
MUST_CHECK bool recover_check(struct job *job, struct err *err);

/* Reads the gaps between our records that nobody has looked at yet. */
MUST_CHECK bool recover_look_at_gaps(struct job *job, struct err *err);

/* Nobody looks at gaps any more. */
void recover_watch_end(struct job *job);

/* The look that follows a start by the settle time (O3), when it is due, and the regular look at
 * gaps. */
MUST_CHECK bool recover_meanwhile(struct job *job, struct err *err);

#endif
