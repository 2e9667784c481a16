/* What a person's decision does to a ledger (oncesink-recover reconcile, rebuild, resolve): never
 * called by the service. Each call belongs inside ledger_begin/commit, together with the event that
 * tells of it. Main thread. */
#ifndef LEDGER_REPAIR_H
#define LEDGER_REPAIR_H

#include "ledger.h"

/* The incarnation, seen in a mark or an output, is this ledger's from now on. One that is known
 * stays as it is; in a ledger that hasn't had any it becomes the current one. */
MUST_CHECK bool ledger_learn_incarnation(struct ledger *ledger, const char *incarnation,
                                         int64_t wall_ms, struct err *err);

/* Another process has settled batches up to `settled` (≥ identity.settled) on this ledger's behalf:
 * numbers go on behind it. Batches of which this ledger has other rows, or none, are gone as if
 * pruned; so is a batch in doubt. Inputs and outputs are the caller's to put. The handle isn't for
 * ledger_prune afterwards. */
MUST_CHECK bool ledger_renumber(struct ledger *ledger, int64_t settled, struct err *err);

/* The fence of the batch in doubt moves, down too (the output was made anew); a checkpoint of it
 * there is forgotten. */
MUST_CHECK bool ledger_fence_move(struct ledger *ledger, int64_t batch, const struct fence *fence,
                                  struct err *err);

/* A copy of the ledger at `path` in a new file, consistent, while the service runs: mode 0640, on
 * the disk, without a -wal beside it. A file that is there is refused (ERR_USAGE); after a failure
 * there is none. */
MUST_CHECK bool ledger_backup(const char *path, const char *copy_path, struct err *err);

#endif
