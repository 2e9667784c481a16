/* The slices of a transactional batch: one transaction each. Used by deliver.c; main thread. */
#ifndef DELIVER_SLICE_H
#define DELIVER_SLICE_H

#include "err.h"

struct job;

/* Before records are added: a transaction is open, unless the whole batch is committed already.
 * ERR_PRODUCER: a request of the slice before had no clean answer (T2). */
MUST_CHECK bool deliver_slice_open(struct job *job, struct err *err);

/* The slice is as large as one may be, or has lasted as long: end it before anything is added. */
bool deliver_slice_full(const struct job *job);

/* Every record added is acknowledged, the positions of all input partitions go with the mark, the
 * transaction is committed. `last`: the batch is read to its end. Else the ledger learns how far it
 * is (a checkpoint). Errors as transaction_commit's. */
MUST_CHECK bool deliver_slice_end(struct job *job, bool last, struct err *err);

#endif
