/* Settling a batch and planning the next one: the two ends of a batch's life, which share a transaction when the next
 * tick is due (design.md §2). */
#ifndef SETTLE_H
#define SETTLE_H

#include "err.h"

struct job;

/* State IDLE and the tick is due: takes it and plans what is there. State PLANNED afterwards, or IDLE when there was nothing
 * to read. */
MUST_CHECK bool settle_plan(struct job *job, struct err *err);

/* State DELIVERED (or CHECKED): settles the batch, after the mark before it was acknowledged (O2), begins its mark, and, with
 * `join` and the tick due, plans the next one in the same transaction. */
MUST_CHECK bool settle_batch(struct job *job, bool join, struct err *err);

/* Begins to write the mark of the last settled batch. The marks must be idle. */
void settle_mark(struct job *job);

#endif
