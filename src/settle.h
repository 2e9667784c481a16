/* Settling a batch, with the next plan in the same transaction when its tick is due. Main
 * thread. */
#ifndef SETTLE_H
#define SETTLE_H

#include "err.h"

struct job;

/* State DELIVERED (or CHECKED): settles the batch, after the mark before it was acknowledged (O2),
 * begins its mark, and, with `join` and the tick due, plans the next one in the same
 * transaction. */
MUST_CHECK bool settle_batch(struct job *job, bool join, struct err *err);

/* Begins to write the mark of the last settled batch. The marks must be idle. */
void settle_mark(struct job *job);

#endif
