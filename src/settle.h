/* Settling a batch, with the next plan in the same transaction when its tick is due. Main
 * thread. */
#ifndef SETTLE_H
#define SETTLE_H

#include "err.h"

struct job;

/* State DELIVERED (or CHECKED): settles the batch; with `join` and the tick due, plans the next one
 * in the same transaction, which the disk may still be writing then (job->unsynced). Idempotent:
 * begins its mark, when none was begun or is under way for the last 100 ms (else, or before the
 * disk has it, it is owed), and settles nothing while one is under way for longer (O2). */
MUST_CHECK bool settle_batch(struct job *job, bool join, struct err *err);

/* Begins to write the mark of the last settled batch. The marks must be idle. */
void settle_mark(struct job *job);

/* The mark of the last settled batch, if it is owed and none is under way: begun when the one
 * before is 100 ms old, or at once. Call it often. */
void settle_mark_owed(struct job *job, bool at_once);

#endif
